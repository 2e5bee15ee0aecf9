/* SPDX-License-Identifier: Apache-2.0 */
/* Lines as the scan finds them and as they are read again; packed files too large to be held. */
#include "data/text_lines.h"
#include "idx_rig.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/random.h"

#define LINES_MAX 400

static struct mu_test_log said;
static struct mu_text_lines *lines;
static char *text; /* of the file */
static size_t text_bytes;

/* Where lines are, found slowly. */
static size_t line_at[LINES_MAX], line_bytes[LINES_MAX], line_marks[LINES_MAX], line_count;
static size_t scanned;
static const uint32_t *wanted;

static enum mu_status see(void *owner, struct mu_text_lines *the_lines, struct mu_log *log,
    const struct mu_text_line *line)
{
    assert_true(scanned < line_count);
    assert_int_equal(line->offset, line_at[scanned]);
    assert_int_equal(line->bytes, line_bytes[scanned]);
    assert_int_equal(line->marks, line_marks[scanned]);
    assert_memory_equal(line->text, text + line_at[scanned], line->bytes);
    scanned++;
    return MU_OK;
}

static enum mu_status take(void *owner, struct mu_text_lines *the_lines, struct mu_log *log,
    size_t row, const struct mu_text_line *line)
{
    size_t index = wanted[row];
    assert_int_equal(line->offset, line_at[index]);
    assert_int_equal(line->bytes, line_bytes[index]);
    assert_memory_equal(line->text, text + line_at[index], line->bytes);
    return MU_OK;
}

static const struct mu_text_rules rules = {
    .mark = '"', .quoted = true, .comment = '#', .skip_lines = 1, .see = see, .take = take};

static int begin(void **state)
{
    text = malloc(8 << 20);
    text_bytes = 0;
    lines = NULL;
    return text ? idx_rig_begin(state) : 1;
}

static int end(void **state)
{
    mu_text_lines_close(lines);
    free(text);
    return idx_rig_end(state);
}

static void find_lines(void)
{
    size_t found = 0;
    line_count = 0;
    for (size_t at = 0, last; at < text_bytes; at = last + 1) {
        size_t marks = 0;
        for (last = at; last < text_bytes && (text[last] != '\n' || marks % 2 == 1); last++)
            marks += text[last] == '"';
        size_t first = at;
        while (first < last && (text[first] == ' ' || text[first] == '\r'))
            first++;
        if (first == last || text[first] == '#' || found++ == 0)
            continue;
        assert_true(line_count < LINES_MAX);
        line_at[line_count] = at;
        line_bytes[line_count] = last - at;
        line_marks[line_count++] = marks;
    }
}

static enum mu_status open_lines(const char *name, size_t held_max)
{
    struct mu_text_source *source;
    struct mu_log *log = mu_test_log_init(&said);
    mu_text_lines_close(lines);
    lines = NULL;
    scanned = 0;
    MU_TRY(mu_text_source_open(log, idx_rig_path(name), held_max, &source));
    return mu_text_lines_open(log, source, &rules, NULL, &lines);
}

static enum mu_status read_run(size_t first, size_t count)
{
    uint32_t index[LINES_MAX];
    for (size_t i = 0; i < count; i++)
        index[i] = (uint32_t)(first + i);
    wanted = index;
    return mu_text_lines_read(lines, &said.log, NULL, index, count);
}

/* Lines of any bytes, most of them short and some long. */
static void draw_text(struct mu_random *random, size_t bytes_max)
{
    static const char bytes[] = "abc \n\n\"#\r,";
    int rare = (int)mu_random_below(random, 300) + 1;
    text_bytes = 0;
    size_t count = mu_random_below(random, bytes_max);
    for (int newlines = 0; text_bytes < count && newlines < LINES_MAX - 1;) {
        char byte = mu_random_below(random, (uint64_t)rare) == 0
                        ? bytes[mu_random_below(random, sizeof(bytes) - 1)]
                        : 'x';
        newlines += byte == '\n';
        text[text_bytes++] = byte;
    }
}

static void all_lines_are_found(void **state)
{
    struct mu_random random;
    mu_random_init(&random, 4);
    for (int run = 0; run < 300; run++) {
        draw_text(&random, run % 10 == 0 ? 700000 : 5000);
        find_lines();
        idx_rig_write("a", text, text_bytes);
        enum mu_status status = open_lines("a", 0);
        if (line_count == 0) {
            assert_int_equal(status, MU_BAD_DATA);
            continue;
        }
        assert_ok(status);
        assert_int_equal(scanned, line_count);
        assert_int_equal(mu_text_lines_count(lines), line_count);
        assert_int_equal(mu_text_lines_crc32c(lines), mu_crc32c(0, text, text_bytes));
        assert_ok(read_run(0, line_count));
        for (size_t at = line_count; at-- > 0;)
            assert_ok(read_run(at, 1));
    }
}

static void a_line_may_be_as_long_as_the_limit(void **state)
{
    for (size_t extra = 0; extra < 2; extra++) {
        text_bytes = (size_t)sprintf(text, "head\nb\n");
        memset(text + text_bytes, 'x', MU_TEXT_LINE_BYTES_MAX + extra);
        text_bytes += MU_TEXT_LINE_BYTES_MAX + extra;
        text[text_bytes++] = '\n';
        find_lines();
        idx_rig_write("a", text, text_bytes);
        if (extra) {
            assert_int_equal(open_lines("a", 0), MU_BAD_DATA);
            assert_said(&said, "/a:3: the line is longer than 1048576 bytes");
            break;
        }
        assert_ok(open_lines("a", 0));
        assert_ok(read_run(0, 2));
    }
}

static void an_open_quote_does_not_take_all_memory(void **state)
{
    text_bytes = (size_t)sprintf(text, "head\na\n\"");
    for (size_t i = 0; i < MU_TEXT_LINE_BYTES_MAX; i++)
        text[text_bytes++] = i % 50 == 0 ? '\n' : 'x';
    find_lines();
    idx_rig_write("a", text, text_bytes);
    assert_int_equal(open_lines("a", 0), MU_BAD_DATA);
    assert_said(&said, "/a:3: the line is longer");
    assert_said(&said, "is a quote not closed?");
}

static void make_numbered(void)
{
    text_bytes = (size_t)sprintf(text, "head\n");
    for (int i = 0; i < 300; i++)
        text_bytes += (size_t)sprintf(text + text_bytes, "line %d has %*d bytes\n", i, i, i);
    find_lines();
    idx_rig_write_packed("a.gz", text, text_bytes);
}

/* As an epoch of one of three workers reads it, and the next epoch. */
static void a_packed_file_is_read_from_front_to_back_again(void **state)
{
    make_numbered();
    assert_ok(open_lines("a.gz", 1000));
    for (int epoch = 0; epoch < 3; epoch++)
        for (size_t at = 10; at < 300; at += 30)
            assert_ok(read_run(at, 10));
}

static void a_packed_file_is_not_read_backwards(void **state)
{
    make_numbered();
    assert_ok(open_lines("a.gz", 1000));
    assert_ok(read_run(70, 10));
    assert_ok(read_run(140, 10));
    assert_int_equal(read_run(64, 10), MU_CONFIG);
    assert_said(&said, "error[E0505]");
    assert_said(&said, "data.shuffle");
    assert_ok(open_lines("a.gz", 1 << 20)); /* held */
    assert_ok(read_run(140, 10));
    assert_ok(read_run(64, 10));
}

static void a_packed_file_that_is_damaged_later_is_named(void **state)
{
    static char packed[1 << 16];
    make_numbered();
    assert_ok(open_lines("a.gz", 1000));
    assert_ok(read_run(290, 10));
    size_t packed_bytes = idx_rig_read("a.gz", packed, sizeof(packed));
    idx_rig_write("a.gz", packed, packed_bytes / 2);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(read_run(250, 10), MU_BAD_DATA);
        assert_said(&said, "/a.gz ends in the middle");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_lines_are_found),
        TEST(a_line_may_be_as_long_as_the_limit),
        TEST(an_open_quote_does_not_take_all_memory),
        TEST(a_packed_file_is_read_from_front_to_back_again),
        TEST(a_packed_file_is_not_read_backwards),
        TEST(a_packed_file_that_is_damaged_later_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
