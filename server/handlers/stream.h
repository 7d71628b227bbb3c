/* stream.h - a generation on its way, shared by the files that handle it: generate.c (its beginning
 * and its end) and stream.c (its bytes). Loop thread. Not for others. */
#pragma once

#include "api/dialect.h"
#include "server/http/request.h"
#include "server/service.h"

enum stream_state {                   /* in this order */
                    STREAM_DECODING,  /* its body, here or on the pool */
                    STREAM_PROVING,   /* waits for the model's fingerprint, which it demands */
                    STREAM_MEASURING, /* waits for the machine's limits, for its profile */
                    STREAM_READY,     /* to be queued */
                    STREAM_REFUSED,   /* answered without a job */
                    STREAM_WAITING,   /* queued: a whole answer when the job is final, and events
                                         when it has come to where they are to go on */
                    STREAM_SENDING,   /* queued: headers are out, the reader is at work */
};

struct choice_reader { /* of one choice's job */
    struct job_reader base;
    struct stream *stream;
    struct choice *choice;
    uint64_t ended_ns; /* CLOCK_MONOTONIC: when its job was seen to be final */
};

struct stream {
    struct task task;
    struct stream *next, *prev;
    enum stream_state state;

    bool plain, here;   /* the body: is the prompt itself; is decoded on the loop thread */
    enum status status; /* of decoding, then of submitting */
    struct error error;
    struct generation generation;  /* its jobs: owned until they are submitted */
    struct choice_reader *readers; /* [n_choices] of the jobs, from then on; owned */
    size_t n_running;              /* jobs that are not final */
    uint64_t measuring_ns;         /* since when it waits for limits, then how long it did */

    struct generation_profile profile; /* when it was asked for */
    bool comment;                      /* one is due */
    uint64_t moved_ms; /* loop time: when the reader was last asked for bytes, or wrote some */
    char *spill;       /* one event that did not fit the room offered; owned, [spill_room] */
    size_t n_spill, spill_at, spill_room;
};

/* The headers go out, and what is ready after them. */
enum MHD_Result stream_start(struct stream *s);
/* The whole answer, or its error; every job is final. */
enum MHD_Result stream_answer(struct stream *s);
/* The first job that failed; NULL: none has. All are final. */
const struct job *stream_failed_job(const struct generation *g);
/* Adds to the record of its spans what its jobs, which are final, and its dialect tell. */
void stream_trace(struct stream *s);
