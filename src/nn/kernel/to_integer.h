/* Rounding floats without instructions of any processor's own. */
#ifndef OQ_NN_KERNEL_TO_INTEGER_H
#define OQ_NN_KERNEL_TO_INTEGER_H

/* 1.5*2^23: adding it rounds a float below 2^22 to the nearest integer, which the low bits of the sum hold; taking it away again leaves that integer. */
#define OQ_TO_INTEGER 12582912.0f

#endif
