/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/man_plain.h"
#include <string.h>

#define COLUMNS 80
#define INDENT 4

struct plain {
    struct mu_text *out;
    struct mu_text line; /* without its escapes */
    int column, indent;
    bool literal; /* between .nf and .fi: lines stay as they are */
    bool is_tag;  /* the line after .TP */
};

static void end_line(struct plain *plain)
{
    if (plain->column > 0)
        mu_text_add(plain->out, "\n");
    plain->column = 0;
}

static void unescape(struct plain *plain, const char *text, size_t bytes)
{
    mu_text_clear(&plain->line);
    for (size_t i = 0; i < bytes; i++) {
        char next = i + 1 < bytes ? text[i + 1] : '\0';
        if (text[i] != '\\') {
            mu_text_append(&plain->line, &text[i], 1);
            continue;
        }
        if (next == 'e' || next == '-')
            mu_text_append(&plain->line, next == 'e' ? "\\" : "-", 1);
        i += next == 'f' ? 2 : 1; /* \fB, \fI and \fR change the type */
    }
}

static void add_words(struct plain *plain)
{
    for (const char *word = plain->line.data; *word;) {
        int bytes = (int)strcspn(word, " ");
        if (plain->column > plain->indent && plain->column + 1 + bytes > COLUMNS)
            end_line(plain);
        int pad = plain->column == 0 ? plain->indent : plain->column > plain->indent;
        mu_text_add(plain->out, "%*s%.*s", pad, "", bytes, word);
        plain->column += pad + bytes;
        word += bytes + (word[bytes] == ' ');
    }
}

static void on_request(struct plain *plain, const char *line, size_t bytes)
{
    bool is_title = strncmp(line, ".TH", 3) == 0;
    end_line(plain);
    if (strncmp(line, ".nf", 3) == 0 || strncmp(line, ".fi", 3) == 0)
        plain->literal = line[1] == 'n';
    plain->is_tag = strncmp(line, ".TP", 3) == 0;
    plain->indent = INDENT;
    if (strncmp(line, ".SH", 3) != 0 && !is_title)
        return;
    unescape(plain, line + 4, bytes - 4);
    if (is_title)
        plain->line.data[strcspn(plain->line.data, " ")] = '\0'; /* date and section are no help */
    mu_text_add(plain->out, is_title ? "%s\n" : "\n%s\n", plain->line.data);
}

static void on_text(struct plain *plain, const char *line, size_t bytes)
{
    unescape(plain, line, bytes);
    if (plain->literal) {
        mu_text_add(
            plain->out, "%*s%s\n", plain->line.bytes > 0 ? INDENT : 0, "", plain->line.data);
        return;
    }
    add_words(plain);
    if (!plain->is_tag)
        return;
    end_line(plain);
    plain->is_tag = false;
    plain->indent = 2 * INDENT;
}

void mu_man_plain(const char *page, struct mu_text *out)
{
    struct plain plain = {.out = out, .indent = INDENT};
    mu_text_init(&plain.line);
    for (const char *line = page; *line;) {
        size_t bytes = strcspn(line, "\n");
        (line[0] == '.' ? on_request : on_text)(&plain, line, bytes);
        line += bytes + (line[bytes] == '\n');
    }
    end_line(&plain);
    out->failed = out->failed || plain.line.failed;
    mu_text_finish(&plain.line);
}
