/* test_torture.c - small files of each architecture and vocabulary, damaged in every way that one
 * change can: each is refused in words, or is loaded as what it then says.
 *
 * Every number of the header set to the values at which programs break, each of its bits turned, an
 * integer laid over every byte, the file cut at every byte. A fixed sample in the usual run; all of
 * it with SMALLMIND_TORTURE=all. Under the sanitizers this is where a wrong length shows.
 */
#include "core/gguf_fields.h"
#include "forward/forward.h"
#include "torture/files.h"
#include "torture/honoured.h"
#include "torture/memory_watch.h"

#include <sys/time.h>

enum {
    TIME_LIMIT_S = 20, /* of the processor for one file of a few kilobytes: far too much */
};

static bool all_of_it; /* else a sample */
static const struct kernels *kernels;
static size_t healthy_peak;     /* bytes */
static size_t n_tried, n_right; /* files of this test; those that loaded */
static struct gguf_fields fields;

/* One damaged file: where, and what stands there now. */
struct damage {
    const char *kind;
    size_t at;
    uint64_t value;
};

#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s at byte %zu: %#llx\n", d->kind, d->at,                             \
                    (unsigned long long)d->value);                                                 \
            ck_abort_msg(__VA_ARGS__);                                                             \
        }                                                                                          \
    } while (0)

/* A refusal is a sentence that says where: a key, a tensor or the header. */
static void check_refusal(enum status status, const struct error *err, const struct damage *d)
{
    static const char *const places[] = {"key", "tensor", "header", "GGUF", "tokenizer.ggml."};
    bool named = err->param[0] != '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        named = named || strstr(err->text, places[i]) != NULL;
    CHECK(err->status == status && err->text[0] != '\0' && named, "status %d, text '%s'", status,
          err->text);
    CHECK(status == STATUS_FORMAT || status == STATUS_UNSUPPORTED || status == STATUS_TOO_LARGE,
          "status %d, text '%s'", status, err->text);
}

/* The vocabulary is used, too: any text's ids are the vocabulary's, and decode. */
static void use_tokenizer(const struct tokenizer *t, const struct damage *d)
{
    static const char text[] = "ab a<s> \xc3\xa9 <|end|><user>\n";
    int32_t ids[256];
    size_t n_ids = 0;
    struct error err = {0};
    CHECK(tokenizer_max_ids(t, sizeof text - 1) <= 256, "too many ids");
    enum status status = tokenizer_encode(t, text, sizeof text - 1, 3, ids, &n_ids, &err);
    CHECK(status == STATUS_OK || err.text[0] != '\0', "status %d", status);
    if (status != STATUS_OK)
        return;
    for (size_t i = 0; i < n_ids; i++)
        CHECK(ids[i] >= 0 && (size_t)ids[i] < tokenizer_n_vocab(t), "id %d", ids[i]);
    size_t n = tokenizer_decode(t, ids, n_ids, NULL);
    char *out = malloc(n + 1);
    CHECK(out != NULL && tokenizer_decode(t, ids, n_ids, out) == n, "decoding");
    free(out);
}

/* The model is used, too: a few tokens go through it, whatever its numbers have become. */
static void use_model(const struct model *m, const struct damage *d)
{
    struct rig {
        struct kv *kv;
        struct team *team;
        struct forward *forward;
    } r = {0};
    enum { N_ROWS = 3 };
    const struct shape *s = &m->shape;
    const int32_t tokens[N_ROWS] = {0, (int32_t)s->n_vocab - 1, 0};
    const size_t n = m->n_context < N_ROWS ? m->n_context : N_ROWS;
    const size_t budget = kv_bytes_for(s, KV_F32, m->n_context < 64 ? m->n_context : 64, 1);
    struct row rows[N_ROWS];
    struct kv_seq seq = {0};
    struct error err = {0};
    size_t n_cached;
    CHECK(kv_create(&r.kv, m, KV_F32, budget, 1, false, &err) == STATUS_OK, "%s", err.text);
    CHECK(team_create(&r.team, 1, forward_max_phases(m), NULL, &err) == STATUS_OK, "%s", err.text);
    CHECK(forward_create(&r.forward, m, kernels, r.kv, r.team, N_ROWS, N_ROWS, &err) == STATUS_OK,
          "%s", err.text);
    CHECK(kv_begin(r.kv, &seq, 0, 0, tokens, n, n, &n_cached), "no room for %zu tokens", n);
    for (size_t at = 0, room; at < n; at += room) {
        room = s->encoder ? n : kv_room(r.kv, &seq, n - at);
        CHECK(room > 0 && kv_extend(r.kv, &seq, room), "no room for %zu of %zu", room, n);
        for (size_t i = 0; i < room; i++)
            rows[i] = (struct row){.token = tokens[at + i],
                                   .position = (uint32_t)(at + i),
                                   .seq = &seq,
                                   .length = s->encoder ? (uint32_t)n : 0,
                                   .wants_vector = s->encoder,
                                   .wants_logits = !s->encoder};
        forward_run(r.forward, rows, room);
        kv_commit(r.kv, &seq, tokens, at + room);
    }
    if (s->encoder && s->n_scores > 0) {
        float scores[FILES_EMBD];
        CHECK(s->n_scores <= FILES_EMBD, "%zu scores", s->n_scores);
        forward_score(r.forward, forward_vector(r.forward, 0), scores);
    }
    if (s->encoder) {
        float vector[FILES_EMBD];
        memcpy(vector, forward_vector(r.forward, 0), s->n_embd * sizeof *vector);
        forward_finish_vector(r.forward, vector);
    }
    kv_end(r.kv, &seq);
    forward_destroy(r.forward);
    team_destroy(r.team);
    kv_destroy(r.kv);
}

/* Bytes that the arena of a file's model takes, which is mapped and no block. Without RoPE's
 * tables: a file may truly be made for more positions than the healthy one. 0: no model. */
static size_t arena_bytes(const struct gguf *g)
{
    struct shape shape;
    struct error err = {0};
    size_t n_bytes = 0;
    if (model_read_shape(&shape, g, &err) != STATUS_OK)
        return 0;
    size_t n_context = shape.n_context_train < MODEL_DEFAULT_CONTEXT ? shape.n_context_train
                                                                     : MODEL_DEFAULT_CONTEXT;
    MUST(model_memory(g, &shape, n_context, &n_bytes, &err) == STATUS_OK, "%s", err.text);
    size_t tables = 0;
    for (size_t i = 0; i < ROTATIONS; i++) {
        if (shape.layers[0].rotation == i)
            tables += n_context * shape.rotations[i].dim * sizeof(float);
    }
    return n_bytes - tables;
}

/* The first file is the healthy one. */
static void check_memory(size_t peak, const struct damage *d)
{
    if (healthy_peak == 0)
        healthy_peak = peak;
    CHECK(peak < 2 * healthy_peak, "%zu bytes; %zu is healthy", peak, healthy_peak);
}

/* A case that hangs is ended by a signal: by the processor's time, of which a stopped process
 * uses none.
 */
static void limit_time(long seconds)
{
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = seconds}, NULL);
}

/* Opens, loads, compares; true when model and vocabulary are both there. */
static bool survives(const uint8_t *bytes, size_t size, const struct damage *d)
{
    struct gguf *g = NULL;
    struct model *m = NULL;
    struct tokenizer *t = NULL;
    struct error err = {0};
    n_tried++;
    limit_time(TIME_LIMIT_S);
    watch_begin();
    enum status status = gguf_open(&g, bytes, size, &err);
    if (status != STATUS_OK) {
        CHECK(g == NULL, "a refused file is handed out");
        check_refusal(status, &err, d);
        check_memory(watch_end(), d);
        return false;
    }
    enum status of_model = model_load(&m, g, 0, 1, &err);
    if (of_model != STATUS_OK) {
        CHECK(m == NULL, "a refused model is handed out");
        check_refusal(of_model, &err, d);
    }
    enum status of_tokenizer = tokenizer_create(&t, g, &err);
    if (of_tokenizer != STATUS_OK) {
        CHECK(t == NULL, "a refused vocabulary is handed out");
        check_refusal(of_tokenizer, &err, d);
    }
    size_t peak = watch_end();
    check_memory(peak + arena_bytes(g), d);
    gguf_close(g);
    fields_walk(&fields, bytes, size);
    CHECK(fields.whole, "what opens makes no sense to a second reader");
    if (m != NULL) {
        honoured_model(&fields, m);
        use_model(m, d);
    }
    if (t != NULL) {
        honoured_tokenizer(&fields, t);
        use_tokenizer(t, d);
    }
    bool both = m != NULL && t != NULL;
    n_right += both;
    model_destroy(m);
    tokenizer_destroy(t);
    return both;
}

/* The file in hand: intact bytes, a copy to damage, and where its fields are. */
struct patient {
    const char *name;
    uint8_t *bytes, *copy; /* [size], owned */
    size_t size, n_header;
    struct gguf_fields *fields; /* of the intact file; owned */
};

static struct patient admit(size_t file)
{
    struct patient p = {.name = files[file].name};
    p.bytes = files_make(file, &p.size);
    p.copy = malloc(p.size);
    p.fields = malloc(sizeof *p.fields);
    ck_assert(p.copy != NULL && p.fields != NULL);
    memcpy(p.copy, p.bytes, p.size);
    fields_walk(p.fields, p.bytes, p.size);
    ck_assert(p.fields->whole);
    p.n_header = p.fields->at;
    const struct damage none = {files[file].name, 0, 0};
    healthy_peak = n_tried = n_right = 0;
    ck_assert(survives(p.bytes, p.size, &none));
    return p;
}

static void discharge(struct patient *p, const char *what)
{
    printf("%s, %s: %zu files, %zu of them right ones\n", p->name, what, n_tried, n_right);
    free(p->bytes);
    free(p->copy);
    free(p->fields);
    limit_time(0);
}

/* n bytes of the copy become value; what was there comes back after. */
static bool with_number(struct patient *p, const char *kind, size_t at, size_t n, uint64_t value)
{
    const struct damage d = {kind, at, value};
    fields_put(p->copy + at, value, n);
    bool survived = survives(p->copy, p->size, &d);
    memcpy(p->copy + at, p->bytes + at, n);
    return survived;
}

static const uint64_t breaking[] = {
    0,
    1,
    UINT64_MAX,
    (uint64_t)1 << 31,
    (uint64_t)1 << 32,
    (uint64_t)1 << 63,
    ((uint64_t)1 << 31) - 1,
    ((uint64_t)1 << 32) - 1,
    ((uint64_t)1 << 63) - 1,
    65536,
    ((uint64_t)1 << 20) + 1, /* just above what a string may have */
    ((uint64_t)1 << 24) + 1,
    UINT64_MAX - 7, /* what rounding up wraps to 0 */
};
enum { N_BREAKING = sizeof breaking / sizeof breaking[0] };

/* The breaking values, then one more and one less than what is there. */
static uint64_t breaking_value(size_t i, uint64_t old)
{
    return i < N_BREAKING ? breaking[i] : i == N_BREAKING ? old + 1 : old - 1;
}

START_TEST(every_number_of_the_header_may_be_wrong)
{
    struct patient p = admit((size_t)_i);
    for (size_t i = 0; i < p.fields->n; i++) {
        const struct gguf_field *f = &p.fields->items[i];
        if (f->kind == FIELD_TEXT || f->kind == FIELD_MAGIC)
            continue;
        uint64_t old = fields_int(p.bytes + f->at, f->n_bytes);
        size_t step = all_of_it ? 1 : 5; /* in turns: no value is left out everywhere */
        for (size_t v = (i + (size_t)_i) % step; v < N_BREAKING + 2; v += step)
            with_number(&p, "a number", f->at, f->n_bytes, breaking_value(v, old));
        for (uint64_t type = 0; f->kind == FIELD_TYPE && type < 48; type += step)
            with_number(&p, "a type", f->at, f->n_bytes, type);
    }
    discharge(&p, "numbers");
}
END_TEST

START_TEST(every_bit_and_byte_of_the_header_may_be_turned)
{
    struct patient p = admit((size_t)_i);
    size_t n_survived = 0;
    for (size_t bit = 0; bit < 8 * p.n_header; bit += all_of_it ? 1 : 11)
        n_survived +=
            with_number(&p, "a bit", bit / 8, 1, p.bytes[bit / 8] ^ (uint64_t)1 << bit % 8);
    for (size_t at = 0; at < p.n_header; at += all_of_it ? 1 : 7)
        with_number(&p, "a byte", at, 1, p.bytes[at] ^ (uint64_t)0xff);
    ck_assert_uint_gt(n_survived, 0); /* a letter of a name, say, may well be another */
    discharge(&p, "bits");
}
END_TEST

/* As if an integer of 32 or 64 bits began at every byte. */
START_TEST(an_integer_may_lie_over_every_byte)
{
    struct patient p = admit((size_t)_i);
    for (size_t at = 0; at + 8 <= p.n_header; at += all_of_it ? 1 : 61) {
        for (size_t n = 4; n <= 8; n *= 2) {
            uint64_t old = fields_int(p.bytes + at, n);
            for (size_t v = 0; v < N_BREAKING + 2; v++)
                with_number(&p, "an integer", at, n, breaking_value(v, old));
        }
    }
    discharge(&p, "integers");
}
END_TEST

START_TEST(a_file_may_end_at_every_byte)
{
    struct patient p = admit((size_t)_i);
    for (size_t n = 0; n < p.size; n += all_of_it || n + 64 > p.size ? 1 : 7) {
        const struct damage d = {"the end", n, 0};
        uint8_t *cut = malloc(n + (n == 0)); /* exactly as large: a read past it is seen */
        MUST(cut != NULL, "memory");
        memcpy(cut, p.bytes, n);
        MUST(!survives(cut, n, &d), "%zu of %zu bytes load", n, p.size);
        free(cut);
    }
    discharge(&p, "ends");
}
END_TEST

START_TEST(records_may_be_missing_or_there_twice)
{
    struct patient p = admit((size_t)_i);
    const struct gguf_fields *f = p.fields;
    uint8_t *made = malloc(2 * p.size);
    ck_assert_ptr_nonnull(made);
    for (size_t i = 0; i < f->n_values + f->n_tensors; i++) {
        bool is_value = i < f->n_values;
        size_t k = is_value ? i : i - f->n_values;
        size_t start = is_value ? f->values[k].start : f->tensors[k].start;
        size_t end = is_value ? f->values[k].end : f->tensors[k].end;
        for (size_t times = 0; times <= 2; times += 2) {
            const struct damage d = {"a record", start, times};
            size_t n = start, count_at = is_value ? 16 : 8;
            memcpy(made, p.bytes, start);
            for (size_t t = 0; t < times; t++, n += end - start)
                memcpy(made + n, p.bytes + start, end - start);
            memcpy(made + n, p.bytes + end, f->at - end);
            n += f->at - end;
            memset(made + n, 0, 64);
            n = (n + 31) / 32 * 32;
            memcpy(made + n, p.bytes + f->data_start, p.size - f->data_start);
            n += p.size - f->data_start;
            fields_put(made + count_at, fields_int(p.bytes + count_at, 8) + times - 1, 8);
            uint8_t *exact = malloc(n);
            ck_assert_ptr_nonnull(exact);
            memcpy(exact, made, n);
            bool both = survives(exact, n, &d);
            ck_assert_msg(times == 0 || !both, "a record twice, at byte %zu", start);
            free(exact);
        }
    }
    free(made);
    discharge(&p, "records");
}
END_TEST

START_TEST(random_damage_does_no_harm)
{
    struct patient p = admit((size_t)_i);
    uint64_t state = 20260202 + (uint64_t)_i;
    for (int round = 0; round < (all_of_it ? 20000 : 500); round++) {
        const struct damage d = {"random damage", (size_t)round, 0};
        for (uint32_t i = tiny_random(&state) % 4 + 1; i > 0; i--)
            p.copy[tiny_random(&state) % p.n_header] = (uint8_t)tiny_random(&state);
        survives(p.copy, p.size, &d);
        memcpy(p.copy, p.bytes, p.n_header);
    }
    discharge(&p, "random damage");
}
END_TEST

/* A scale that is NaN or infinite makes its block's weights so. */
START_TEST(values_that_are_not_finite_are_refused)
{
    static const float not_a_number[TINY_EMBD] = {NAN};
    struct gguf_builder *b = tiny_model("llama", WEIGHT_Q8_0);
    struct builder_tensor *t = builder_find_tensor(b, "blk.0.ffn_up.weight");
    uint8_t scale[2];
    memcpy(scale, t->data.p + 34, 2);
    memcpy(t->data.p + 34, "\x00\xfc", 2); /* F16, minus infinity: of the second block */
    struct gguf *g = NULL;
    struct model *m = NULL;
    struct error err;
    size_t size;
    uint8_t *bytes = gguf_build(b, &size);
    ck_assert_int_eq(gguf_open(&g, bytes, size, &err), STATUS_OK);
    ck_assert_int_eq(model_load(&m, g, 0, 1, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.param, "blk.0.ffn_up.weight");
    gguf_close(g);
    free(bytes);
    memcpy(t->data.p + 34, scale, 2);
    memcpy(builder_find_tensor(b, "blk.1.ffn_norm.weight")->data.p, not_a_number,
           sizeof not_a_number);
    bytes = gguf_build(b, &size);
    ck_assert_int_eq(gguf_open(&g, bytes, size, &err), STATUS_OK);
    ck_assert_int_eq(model_load(&m, g, 0, 1, &err), STATUS_FORMAT);
    ck_assert_str_eq(err.text, "tensor 'blk.1.ffn_norm.weight': value 0 is not a finite number");
    gguf_close(g);
    free(bytes);
    gguf_builder_free(b);
}
END_TEST

int main(void)
{
    static struct cpu cpu;
    const char *how_much = getenv("SMALLMIND_TORTURE");
    struct error err;
    cpu_detect(&cpu);
    if (kernels_select(&kernels, KERNELS_AUTO, &cpu, &err) != STATUS_OK)
        return EXIT_FAILURE;
    all_of_it = how_much != NULL && strcmp(how_much, "all") == 0;
    Suite *suite = suite_create("torture");
    const struct {
        const char *name;
        const TTest *test;
    } loops[] = {
        {"numbers", every_number_of_the_header_may_be_wrong},
        {"bits", every_bit_and_byte_of_the_header_may_be_turned},
        {"integers", an_integer_may_lie_over_every_byte},
        {"ends", a_file_may_end_at_every_byte},
        {"rest", records_may_be_missing_or_there_twice},
        {"rest", random_damage_does_no_harm},
    };
    TCase *tc = NULL;
    for (size_t i = 0; i < sizeof loops / sizeof loops[0]; i++) {
        if (i == 0 || strcmp(loops[i].name, loops[i - 1].name) != 0) {
            tc = tcase_create(loops[i].name);
            tcase_set_timeout(tc, all_of_it ? 36000 : 280);
            suite_add_tcase(suite, tc);
        }
        tcase_add_loop_test(tc, loops[i].test, 0, N_FILES);
    }
    tcase_add_test(tc, values_that_are_not_finite_are_refused);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
