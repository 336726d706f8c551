/* Pages of docs/reference from the tables (doc.h). */
#include "app/doc.h"

#include <ctype.h>
#include <string.h>

/* Text where Markdown would see more in it: signs of tables, of emphasis, of tags. */
static void plain(FILE *out, const char *text, size_t n)
{
    for (size_t i = 0; i < n && text[i]; i++) {
        if (strchr("|<>*_", text[i]))
            fputc('\\', out);
        fputc(text[i] == '\n' ? ' ' : text[i], out);
    }
}

static void options(FILE *out, const struct opt *opts)
{
    char text[1024];
    bool open = false;
    for (const struct opt *o = opts; o->type; o++) {
        if (o->type == OPT_GROUP) {
            fprintf(out, "\n### %s\n", o->help);
            open = false;
            continue;
        }
        if (!strcmp(o->name, "shader-dir")) /* of developers' builds: CONTRIBUTING.md */
            continue;
        if (!open)
            fputs("\n| option | what |\n|---|---|\n", out);
        open = true;
        const char *value = opt_placeholder(o);
        fputs("| ", out);
        if (o->short_name)
            fprintf(out, "`-%c`, ", o->short_name);
        fprintf(out, "`--%s", o->name);
        for (const char *v = value ? value : ""; *v; v++) /* a bar ends a table's cell even in code */
            fprintf(out, v == value ? " %s%c" : "%s%c", *v == '|' ? "\\" : "", *v);
        fputs("` | ", out);
        doc_option_text(o, text, sizeof text);
        plain(out, text, sizeof text);
        fputs(o->file == OPT_READS ? "; `-` is standard input |\n" : " |\n", out);
    }
}

static void examples(FILE *out, const char *lines)
{
    for (const char *l = lines; *l; l += strcspn(l, "\n"), l += *l == '\n') {
        size_t n = strcspn(l, "\t\n"), rest = strcspn(l + n, "\n");
        if (rest)
            fprintf(out, "    # %.*s\n", (int)rest - 1, l + n + 1);
        fprintf(out, "    %.*s\n", (int)n, l);
    }
}

static void rows(FILE *out, const char *title, const struct doc_row *r)
{
    fprintf(out, "\n## %s\n\n| | |\n|---|---|\n", title);
    for (; r->name; r++) {
        fprintf(out, "| `%s` | ", r->name);
        plain(out, r->text, strlen(r->text));
        fputs(" |\n", out);
    }
}

static const char generated[] = "<!-- written by `fovea help --markdown`; cmake --build build/release --target "
                                "reference -->\n";

static void page(FILE *out, const struct cmd *c)
{
    fprintf(out, "%s# fovea %s\n\n%c%s.\n\n    fovea %s %s\n", generated, c->name,
            toupper((unsigned char)c->summary[0]), c->summary + 1, c->name, c->usage);
    bool reads = false;
    for (const struct cmd_arg *a = c->args; a && a->name; a++)
        reads = reads || a->file == OPT_READS || a->file == OPT_MODEL;
    if (reads)
        fprintf(out, "\n`-` as an argument is standard input, told by its first bytes%s: [PIPES.md](../PIPES.md).\n",
                c->forward ? "; video is read as it comes" : "");
    if (c->examples) {
        fputs("\n## Examples\n\n", out);
        examples(out, c->examples);
    }
    fputs("\n## Options\n", out);
    options(out, c->opts);
    fputs("\nOptions of every command, exit statuses, environment: [README.md](README.md).\n", out);
    for (const char *p = c->details; p && *p; p = *p ? p + strspn(p, "\n") : p) {
        const char *end = strstr(p, "\n\n");
        size_t n = end ? (size_t)(end - p) : strlen(p);
        fputs(p == c->details ? "\n## Details\n\n" : "\n", out);
        plain(out, p, n);
        fputc('\n', out);
        p += n;
    }
}

void doc_markdown(FILE *out, const struct cmd *c)
{
    if (c) {
        page(out, c);
        return;
    }
    fprintf(out, "%s# Reference\n\n| command | what |\n|---|---|\n", generated);
    for (const struct cmd *const *i = app_commands; *i; i++) {
        fprintf(out, "| [%s](%s.md) | ", (*i)->name, (*i)->name);
        plain(out, (*i)->summary, strlen((*i)->summary));
        fputs(" |\n", out);
    }
    fputs("\n`fovea COMMAND --help` shows what is used most, `fovea help COMMAND` all. What `--json` prints is in "
          "[json.md](json.md), which files are read and written in [../formats](../formats/README.md).\n"
          "\n## Options of every command\n", out);
    options(out, app_global_opts);
    fputs("\nResults, what was asked for, go to standard output, `--quiet` or not. Everything else is for people: "
          "summaries on standard output, which `--quiet` leaves out; warnings, progress and what `--verbose` tells on "
          "standard error. With `-o -` and with `--json` standard output holds the result and nothing else.\n", out);
    rows(out, "Exit status", doc_statuses);
    rows(out, "Environment", doc_environment);
}
