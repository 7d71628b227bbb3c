/* sampling_defaults.h - the sampling values of a request that names none: the native API's and
 * `generate`'s. Another dialect has its own where its clients expect others. */
#pragma once

#define SAMPLING_TEMPERATURE        0.8
#define SAMPLING_TOP_K              40
#define SAMPLING_TOP_P              0.95
#define SAMPLING_MIN_P              0.05
#define SAMPLING_TYPICAL_P          1
#define SAMPLING_REPETITION_PENALTY 1
#define SAMPLING_REPETITION_WINDOW  64
#define SAMPLING_PRESENCE_PENALTY   0
#define SAMPLING_FREQUENCY_PENALTY  0

/* The same as text, for tables of settings. */
#define SAMPLING_TEXT(value)  SAMPLING_TEXT_(value)
#define SAMPLING_TEXT_(value) #value
