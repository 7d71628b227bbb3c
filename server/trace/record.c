/* record.c - the memory of a record, and what phases an answer went through. Any thread. */
#include "server/trace/record.h"

#include <stdlib.h>
#include <string.h>

struct trace_record *trace_record_create(void)
{
    return calloc(1, sizeof(struct trace_record));
}

bool trace_record_reserve(struct trace_record **record, size_t n)
{
    size_t n_bytes = sizeof **record + n * sizeof(*record)->choices[0];
    struct trace_record *larger = realloc(*record, n_bytes);
    if (larger == NULL)
        return false;
    memset(larger->choices, 0, n * sizeof larger->choices[0]);
    larger->n_choices = n;
    *record = larger;
    return true;
}

bool trace_choice_phase(const struct trace_choice *c, enum trace_phase phase, uint64_t *begin_ns,
                        uint64_t *end_ns)
{
    const uint64_t begins[TRACE_PHASES] = {c->arrived_ns, c->started_ns,
                                           c->decodes ? c->read_ns : 0};
    const uint64_t ends[TRACE_PHASES] = {c->started_ns, c->read_ns, c->ended_ns};
    *begin_ns = begins[phase];
    *end_ns = ends[phase] != 0 ? ends[phase] : c->ended_ns;
    if (*end_ns < *begin_ns)
        *end_ns = *begin_ns;
    return *begin_ns != 0;
}

size_t trace_record_spans(const struct trace_record *record)
{
    size_t n = 1 + (record->n_choices > 1 ? record->n_choices : 0);
    uint64_t begin_ns, end_ns;
    for (size_t i = 0; i < record->n_choices; i++)
        for (enum trace_phase phase = TRACE_QUEUE; phase < TRACE_PHASES; phase++)
            n += trace_choice_phase(&record->choices[i], phase, &begin_ns, &end_ns);
    return n;
}
