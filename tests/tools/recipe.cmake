# A user's recipe and checkpoint: converted, then compared with the embeddings of the network that they come from.
execute_process(COMMAND ${ONCOQUANT} convert --quiet --model ${DATA}/variant.json --checkpoint ${DATA}/variant.pt -o ${WORK}/variant.oq RESULT_VARIABLE code)
if(NOT code EQUAL 0)
	message(FATAL_ERROR "conversion of variant.json ended with ${code}")
endif()
execute_process(COMMAND ${GOLDEN} ${WORK}/variant.oq ${DATA}/patches.npy ${DATA}/variant_embeddings.npy RESULT_VARIABLE code)
file(REMOVE_RECURSE ${WORK}/variant.oq)
if(NOT code EQUAL 0)
	message(FATAL_ERROR "variant.json is not at parity")
endif()
# The example of the tutorial wants another checkpoint: this one is refused by the names of its tensors.
execute_process(COMMAND ${ONCOQUANT} convert --quiet --model ${EXAMPLE}/segresenc-16.json --checkpoint ${DATA}/variant.pt -o ${WORK}/wrong.oq
	RESULT_VARIABLE code ERROR_VARIABLE text)
if(NOT code EQUAL 5 OR NOT text MATCHES "61 tensors are missing: encoder.layers.1.blocks.1" OR EXISTS ${WORK}/wrong.oq)
	message(FATAL_ERROR "segresenc-16.json and a checkpoint of another shape ended with ${code}: ${text}")
endif()
