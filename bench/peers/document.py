"""Puts measured tables into a document: `python document.py DOCUMENT TABLES...`. The text between `<!-- NAME -->` and
`<!-- end of NAME -->` is replaced by the file whose name without ending is NAME. Refuses a document without those marks."""
import pathlib
import sys

document = pathlib.Path(sys.argv[1])
text = document.read_text()
for table in map(pathlib.Path, sys.argv[2:]):
    first, last = f"<!-- {table.stem} -->\n", f"<!-- end of {table.stem} -->"
    if first not in text or last not in text:
        sys.exit(f"error: {document}: no place for {table.stem}, expected the lines {first.strip()} and {last}")
    before, rest = text.split(first, 1)
    text = before + first + table.read_text() + last + rest.split(last, 1)[1]
document.write_text(text)
