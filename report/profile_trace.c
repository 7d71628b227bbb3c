/* profile_trace.c - a profile's steps in detail: as Chrome's trace events, and in a compact form
 * for the page. Pure. */
#include "report/profile.h"

#include <stdio.h>
#include <string.h>

/* Events of one trace at most: what viewers still open quickly. Each worker has its share. */
enum { EVENTS_MAX = 400000 };

struct place { /* of a line: its worker's record, and how much later than the first that began */
    const struct record *record;
    size_t worker;
    uint64_t offset_ns;
};

static struct place place_of(const struct profile_document *doc, size_t worker)
{
    const struct record *record = doc->records[worker];
    uint64_t first = record->totals.begin_ns;
    for (size_t i = 0; i < doc->n_records; i++)
        if (doc->records[i]->totals.begin_ns < first)
            first = doc->records[i]->totals.begin_ns;
    return (struct place){record, worker, record->totals.begin_ns - first};
}

static const struct record_span *spans_of(const struct record *record, size_t line, unsigned rank)
{
    const struct record_shape *shape = &record->shape;
    return record->spans + (line * shape->n_threads + rank) * shape->n_phases;
}

/* --- trace events --- */

static void put_us(struct json_writer *w, const char *before, double ns)
{
    json_raw(w, before);
    json_double(w, ns * 1e-3, 3);
}

static void put_event(struct json_writer *w, const char *name, const struct place *place,
                      unsigned rank, double begin_ns, double ns)
{
    json_raw(w, ",\n{\"name\":");
    json_string(w, name, strlen(name));
    put_us(w, ",\"ph\":\"X\",\"ts\":", begin_ns);
    put_us(w, ",\"dur\":", ns);
    json_raw(w, ",\"pid\":");
    json_uint(w, place->worker + 1);
    json_raw(w, ",\"tid\":");
    json_uint(w, rank);
}

static size_t put_threads(struct json_writer *w, const struct place *place, size_t line,
                          double begin_ns)
{
    const struct record_shape *shape = &place->record->shape;
    size_t n = 0;
    for (unsigned rank = 0; rank < shape->n_threads; rank++) {
        const struct record_span *spans = spans_of(place->record, line, rank);
        for (size_t i = 0; i < shape->n_phases; i++) {
            const struct scope_phase *phase = &shape->phases[i];
            if (spans[i].end <= spans[i].begin)
                continue;
            put_event(w, scope_infos[phase->scope].label, place, rank,
                      begin_ns + (double)spans[i].begin, (double)(spans[i].end - spans[i].begin));
            json_raw(w, ",\"cat\":\"scope\"");
            if (phase->layer < shape->n_layers) {
                json_raw(w, ",\"args\":{\"layer\":");
                json_uint(w, phase->layer);
                json_raw(w, "}");
            }
            json_raw(w, "}");
            n++;
        }
    }
    return n;
}

static size_t put_line(struct json_writer *w, const struct place *place, size_t i)
{
    const struct record_line *line = &place->record->lines[i];
    double begin_ns = (double)(line->begin_ns + place->offset_ns);
    char name[32];
    snprintf(name, sizeof name, "step: %s", record_kind_names[line->kind]);
    put_event(w, name, place, 0, begin_ns, line->wall_ns);
    json_raw(w, ",\"cat\":\"step\",\"args\":{\"rows\":");
    json_uint(w, line->n_rows);
    json_raw(w, ",\"sequences\":");
    json_uint(w, line->n_sequences);
    json_raw(w, "}}");
    for (int s = 0; s < RECORD_SECTIONS; s++) {
        const struct record_span *span = &line->sections[s];
        if (span->end <= span->begin)
            continue;
        put_event(w, scope_infos[record_sections[s]].label, place, 0,
                  begin_ns + (double)span->begin, (double)(span->end - span->begin));
        json_raw(w, ",\"cat\":\"scope\"}");
    }
    return 1 + RECORD_SECTIONS + put_threads(w, place, i, begin_ns);
}

static void put_name(struct json_writer *w, const char *what, size_t pid, size_t tid,
                     const char *name, size_t number)
{
    json_raw(w, "{\"name\":\"");
    json_raw(w, what);
    json_raw(w, "\",\"ph\":\"M\",\"pid\":");
    json_uint(w, pid);
    json_raw(w, ",\"tid\":");
    json_uint(w, tid);
    json_raw(w, ",\"args\":{\"name\":\"");
    json_raw(w, name);
    json_uint(w, number);
    json_raw(w, "\"}}");
}

/* Shown by viewers beside the worker's name. */
static void put_extent(struct json_writer *w, const struct place *place, size_t n_lines)
{
    const struct record_steps *steps = place->record->totals.steps;
    uint64_t n_seen = 0, n_recorded = 0;
    char text[80];
    for (int kind = 0; kind < RECORD_KINDS; kind++) {
        n_seen += steps[kind].n_seen;
        n_recorded += steps[kind].n_recorded;
    }
    snprintf(text, sizeof text, "%s%zu of %llu steps", n_recorded < n_seen ? "" : "the first ",
             n_lines, (unsigned long long)n_seen);
    json_raw(w, ",\n{\"name\":\"process_labels\",\"ph\":\"M\",\"pid\":");
    json_uint(w, place->worker + 1);
    json_raw(w, ",\"tid\":0,\"args\":{\"labels\":");
    json_string(w, text, strlen(text));
    json_raw(w, "}}");
}

void profile_write_trace(const struct profile_document *doc, struct json_writer *w)
{
    json_raw(w, "[");
    for (size_t i = 0; i < doc->n_records; i++) {
        json_raw(w, i > 0 ? ",\n" : "");
        put_name(w, "process_name", i + 1, 0, "worker ", i);
        for (unsigned rank = 0; rank < doc->records[i]->shape.n_threads; rank++) {
            json_raw(w, ",\n");
            put_name(w, "thread_name", i + 1, rank, rank == 0 ? "leader " : "helper ", rank);
        }
    }
    for (size_t i = 0; i < doc->n_records; i++) {
        struct place place = place_of(doc, i);
        size_t n_events = 0, line = 0;
        for (; line < place.record->totals.n_lines && n_events < EVENTS_MAX / doc->n_records;
             line++)
            n_events += put_line(w, &place, line);
        put_extent(w, &place, line);
    }
    json_raw(w, "]\n");
}

/* --- for the page: numbers only, microseconds in tenths --- */

static void put_numbers(struct json_writer *w, const struct record_span *spans, size_t n)
{
    json_raw(w, "[");
    for (size_t i = 0; i < n; i++) {
        json_raw(w, i > 0 ? "," : "");
        json_uint(w, ((uint64_t)spans[i].begin + 50) / 100);
        json_raw(w, ",");
        json_uint(w, ((uint64_t)spans[i].end + 50) / 100);
    }
    json_raw(w, "]");
}

static void put_step(struct json_writer *w, const struct place *place, size_t i)
{
    const struct record_shape *shape = &place->record->shape;
    const struct record_line *line = &place->record->lines[i];
    json_raw(w, "{\"worker\":");
    json_uint(w, place->worker);
    put_us(w, ",\"begin_us\":", (double)(line->begin_ns + place->offset_ns));
    put_us(w, ",\"wall_us\":", line->wall_ns);
    json_raw(w, ",\"kind\":");
    json_string(w, record_kind_names[line->kind], strlen(record_kind_names[line->kind]));
    json_raw(w, ",\"rows\":");
    json_uint(w, line->n_rows);
    json_raw(w, ",\"sequences\":");
    json_uint(w, line->n_sequences);
    json_raw(w, ",\"sections\":");
    put_numbers(w, line->sections, RECORD_SECTIONS);
    json_raw(w, ",\"threads\":[");
    for (unsigned rank = 0; rank < shape->n_threads; rank++) {
        json_raw(w, rank > 0 ? "," : "");
        put_numbers(w, spans_of(place->record, i, rank), shape->n_phases);
    }
    json_raw(w, "]}");
}

void profile_write_timeline(const struct profile_document *doc, size_t max_steps,
                            struct json_writer *w)
{
    const struct record_shape *shape = &doc->records[0]->shape;
    size_t n = 0;
    json_raw(w, "{\"phases\":[");
    for (size_t i = 0; i < shape->n_phases; i++) {
        json_raw(w, i > 0 ? ",[\"" : "[\"");
        json_raw(w, scope_infos[shape->phases[i].scope].name);
        json_raw(w, "\",");
        json_int(w,
                 shape->phases[i].layer < shape->n_layers ? (int64_t)shape->phases[i].layer : -1);
        json_raw(w, "]");
    }
    json_raw(w, "],\"sections\":[");
    for (int s = 0; s < RECORD_SECTIONS; s++) {
        json_raw(w, s > 0 ? ",\"" : "\"");
        json_raw(w, scope_infos[record_sections[s]].name);
        json_raw(w, "\"");
    }
    json_raw(w, "],\"labels\":{");
    for (int scope = 0; scope < SCOPES; scope++) {
        json_raw(w, scope > 0 ? ",\"" : "\"");
        json_raw(w, scope_infos[scope].name);
        json_raw(w, "\":\"");
        json_raw(w, scope_infos[scope].label);
        json_raw(w, "\"");
    }
    json_raw(w, "},\"steps\":[");
    for (size_t i = 0; i < doc->n_records; i++) {
        struct place place = place_of(doc, i);
        size_t most = max_steps / doc->n_records;
        for (size_t line = 0; line < place.record->totals.n_lines && line < most; line++) {
            json_raw(w, n++ > 0 ? "," : "");
            put_step(w, &place, line);
        }
    }
    json_raw(w, "]}");
}
