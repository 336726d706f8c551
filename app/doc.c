/* Help, man page and completion from the tables (doc.h). */
#include "app/doc.h"

#include <ctype.h>
#include <string.h>

enum { COLUMNS = 80, INDENT = 26 };

/* ---- --help ----------------------------------------------------------------------------- */

/* Words of text from column `at` on, wrapped, continued at column `indent`. */
static void wrap(FILE *out, const char *text, int at, int indent)
{
    while (*text) {
        int n = (int)strcspn(text, " \n");
        if (at > indent && at + 1 + n > COLUMNS) {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
        } else if (at > indent) {
            fputc(' ', out);
            at++;
        }
        fwrite(text, 1, (size_t)n, out);
        at += n;
        text += n;
        if (*text == '\n') {
            fprintf(out, "\n%*s", text[1] ? indent : 0, "");
            at = indent;
        }
        text += *text != 0;
    }
}

/* A default that only says "not given" is no news. */
static bool tells(const struct opt *o)
{
    static const char *const none[] = {"", "0", "-1", "auto", "none"};
    for (size_t i = 0; o->def && i < sizeof none / sizeof *none; i++)
        if (!strcmp(o->def, none[i]))
            return false;
    return o->def != NULL;
}

const struct doc_row doc_statuses[] = {
    {"0", "done"},
    {"1", "failed: one sentence on standard error says what and why. Of check and compare also: what was "
          "compared does not hold"},
    {"2", "the command line is wrong; nothing was done"},
    {"11 to 100", "of batch: 10 and how many jobs failed, at most 90"},
    {"130", "stopped by Ctrl-C, SIGTERM or SIGHUP; what is complete so far is kept where the command says so"},
    {NULL, NULL}};

const struct doc_row doc_environment[] = {
    {"FOVEA_DEVICE", "the device when --device is not given"},
    {"FOVEA_TUNE", "0: networks run by the kernels usual for a device of its kind, not by those measured on it"},
    {"NO_COLOR", "no colours when set; nor are there any in a pipe or with TERM=dumb"},
    {"TMPDIR", "where standard input is kept while it is worked on (/tmp)"},
    {"XDG_CONFIG_HOME", "the viewer keeps its settings in fovea/ below it (~/.config)"},
    {"XDG_CACHE_HOME", "pipelines and the choice of kernels are kept in fovea/ below it (~/.cache)"},
    {"SSL_CERT_FILE", "certificates that streams from https:// are checked by"},
    {"VK_ICD_FILENAMES, VK_DRIVER_FILES", "the Vulkan loader's own choice of drivers"},
    {NULL, NULL}};

void doc_option_text(const struct opt *o, char *text, size_t size)
{
    size_t n = (size_t)snprintf(text, size, "%s", o->help);
    if (o->type == OPT_ENUM) {
        n += (size_t)snprintf(text + n, size - n, " (");
        for (int i = 0; o->choices[i] && n < size; i++)
            n += (size_t)snprintf(text + n, size - n, "%s%s", i ? ", " : "", o->choices[i]);
        n += (size_t)snprintf(text + n, size - n, ")");
    }
    if (tells(o))
        snprintf(text + n, size - n, " (default %s)", o->def);
}

static void help_options(FILE *out, const struct opt *opts, bool all)
{
    const char *group = NULL;
    for (const struct opt *o = opts; o->type; o++) {
        if (o->type == OPT_GROUP)
            group = o->help;
        if (o->type == OPT_GROUP || (o->rare && !all))
            continue;
        if (group)
            fprintf(out, "\n%s:\n", group);
        group = NULL;
        char left[96], text[1024];
        const char *value = opt_placeholder(o);
        int n = o->short_name ? snprintf(left, sizeof left, "  -%c, ", o->short_name)
                              : snprintf(left, sizeof left, "      ");
        n += snprintf(left + n, sizeof left - (size_t)n, "--%s%s%s", o->name, value ? " " : "",
                      value ? value : "");
        fputs(left, out);
        if (n + 2 > INDENT)
            fprintf(out, "\n%*s", INDENT, "");
        else
            fprintf(out, "%*s", INDENT - n, "");
        doc_option_text(o, text, sizeof text);
        wrap(out, text, INDENT, INDENT);
        fputc('\n', out);
    }
}

/* "command\twhat it does" lines: in two columns when all of them fit, else one below the
 * other. */
static void help_examples(FILE *out, const char *lines)
{
    int widest = 0, total = 0;
    for (const char *l = lines; *l; l += strcspn(l, "\n"), l += *l == '\n') {
        int n = (int)strcspn(l, "\t\n"), rest = (int)strcspn(l + n, "\n");
        widest = n > widest ? n : widest;
        total = rest > total ? rest : total;
    }
    bool columns = 3 + widest + total <= COLUMNS;
    for (const char *l = lines; *l; l += strcspn(l, "\n"), l += *l == '\n') {
        int n = (int)strcspn(l, "\t\n"), rest = (int)strcspn(l + n, "\n");
        fprintf(out, "  %-*.*s", rest && columns ? widest : 0, n, l);
        if (rest)
            fprintf(out, "%s%.*s", columns ? "  " : "\n      ", rest - 1, l + n + 1);
        fputc('\n', out);
    }
}

void doc_overview(FILE *out)
{
    fputs("fovea " FOVEA_VERSION ": free-viewpoint video, Gaussian-splat scenes, text to video\n\n", out);
    help_examples(out, app_find_command("view") ? "fovea render scene.ply -o scene.mp4\ta turn around the "
                                         "scene, as a video\n"
                                         "fovea [scene.ply]\tthe viewer: look around, play streams\n"
                                       : "fovea render scene.ply -o scene.mp4\ta turn around the "
                                         "scene, as a video\n");
    fputs("\nCommands:\n", out);
    for (const struct cmd *const *c = app_commands; *c; c++)
        fprintf(out, "  %-10s%s\n", (*c)->name, (*c)->summary);
    fputs("  help      all options of a command: fovea help render\n", out);
    fputs("\nOptions of every command:\n", out);
    help_options(out, app_global_opts, true);
}

static bool has_rare(const struct opt *opts)
{
    for (const struct opt *o = opts; o->type; o++)
        if (o->rare)
            return true;
    return false;
}

void doc_command(FILE *out, const struct cmd *c, bool all)
{
    fprintf(out, "fovea %s: %s\n\n", c->name, c->summary);
    if (c->examples) {
        help_examples(out, c->examples);
        fputc('\n', out);
    }
    fprintf(out, "Usage: fovea %s %s\n", c->name, c->usage);
    if (c->opts->type && c->opts->type != OPT_GROUP)
        fputs("\nOptions:\n", out);
    help_options(out, c->opts, all);
    if (c->details && all) {
        fputc('\n', out);
        wrap(out, c->details, 0, 0);
        fputc('\n', out);
    }
    if (!all && has_rare(c->opts))
        fprintf(out, "\nMore options and details: fovea help %s\n", c->name);
    else
        fputs("\nOptions of every command: fovea --help\n", out);
}

/* ---- man page --------------------------------------------------------------------------- */

/* Text with what troff would take for its own escaped. */
static void troff(FILE *out, const char *text, size_t n)
{
    bool line_start = true;
    for (size_t i = 0; i < n && text[i]; i++) {
        char c = text[i];
        if (line_start && (c == '.' || c == '\''))
            fputs("\\&", out);
        if (c == '\\')
            fputs("\\e", out);
        else if (c == '-')
            fputs("\\-", out);
        else
            fputc(c, out);
        line_start = c == '\n';
    }
}

static void troff_all(FILE *out, const char *text)
{
    troff(out, text, strlen(text));
}

static void man_options(FILE *out, const struct opt *opts)
{
    for (const struct opt *o = opts; o->type; o++) {
        if (o->type == OPT_GROUP) {
            fputs(".PP\n.I ", out);
            troff_all(out, o->help);
            fputc('\n', out);
            continue;
        }
        char text[1024];
        const char *value = opt_placeholder(o);
        fputs(".TP\n", out);
        if (o->short_name)
            fprintf(out, "\\fB\\-%c\\fR, ", o->short_name);
        fputs("\\fB\\-\\-", out);
        troff_all(out, o->name);
        fputs("\\fR", out);
        if (value) {
            fputs(" \\fI", out);
            troff_all(out, value);
            fputs("\\fR", out);
        }
        fputc('\n', out);
        doc_option_text(o, text, sizeof text);
        text[0] = (char)toupper((unsigned char)text[0]);
        troff_all(out, text);
        fputs(".\n", out);
    }
}

static void man_examples(FILE *out, const char *lines)
{
    for (const char *l = lines; *l; l += strcspn(l, "\n"), l += *l == '\n') {
        size_t n = strcspn(l, "\t\n"), rest = strcspn(l + n, "\n");
        fputs(".TP\n.B ", out);
        troff(out, l, n);
        fputc('\n', out);
        if (rest)
            troff(out, l + n + 1, rest - 1);
        fputc('\n', out);
    }
}

static void man_paragraphs(FILE *out, const char *text)
{
    fputs(".PP\n", out);
    for (; *text; text++) {
        size_t n = strcspn(text, "\n");
        troff(out, text, n);
        text += n;
        fputs(text[0] && text[1] == '\n' ? "\n.PP" : "\n", out);
        if (!*text)
            break;
    }
}

static void man_rows(FILE *out, const char *title, const struct doc_row *rows)
{
    fprintf(out, ".SH %s\n", title);
    for (; rows->name; rows++) {
        fputs(".TP\n.B ", out);
        troff_all(out, rows->name);
        fputc('\n', out);
        troff_all(out, rows->text);
        fputs(".\n", out);
    }
}

void doc_man(FILE *out)
{
    fputs(".TH FOVEA 1 \"\" \"fovea " FOVEA_VERSION "\" \"User Commands\"\n"
          ".SH NAME\nfovea \\- free\\-viewpoint video, Gaussian\\-splat scenes, text to video\n"
          ".SH SYNOPSIS\n.B fovea\n\\fICOMMAND\\fR [\\fIOPTION\\fR]... [\\fIFILE\\fR]...\n",
          out);
    if (app_find_command("view"))
        fputs(".br\n.B fovea\n\\fISCENE\\fR\n", out);
    fputs(".SH DESCRIPTION\nRenders, shows, converts and checks Gaussian\\-splat scenes on "
          "Vulkan compute, and makes video of text. Reads .ply, .compressed.ply, .splat, .ksplat, .splatv, .spz, .sog, .glb and "
          ".gltf; writes video, pictures and arrays.\n.SH COMMANDS\n",
          out);
    for (const struct cmd *const *c = app_commands; *c; c++) {
        fprintf(out, ".SS fovea %s ", (*c)->name);
        troff_all(out, (*c)->usage);
        fputs("\n", out);
        char first = (char)toupper((unsigned char)(*c)->summary[0]);
        fputc(first, out);
        troff_all(out, (*c)->summary + 1);
        fputs(".\n", out);
        man_options(out, (*c)->opts);
        if ((*c)->details)
            man_paragraphs(out, (*c)->details);
        if ((*c)->examples) {
            fputs(".PP\nExamples:\n", out);
            man_examples(out, (*c)->examples);
        }
    }
    fputs(".SH OPTIONS OF EVERY COMMAND\n", out);
    man_options(out, app_global_opts);
    man_rows(out, "EXIT STATUS", doc_statuses);
    man_rows(out, "ENVIRONMENT", doc_environment);
    fputs(".SH SEE ALSO\n", out);
    troff_all(out, "The reference and a tutorial are in /usr/share/doc/fovea/docs.");
    fputc('\n', out);
}

/* ---- completion ------------------------------------------------------------------------- */

/* Calls emit for every option row of a table. */
static void each_option(FILE *out, const struct opt *opts,
                        void (*emit)(FILE *, const struct opt *, const char *), const char *cmd)
{
    for (const struct opt *o = opts; o->type; o++)
        if (o->type != OPT_GROUP)
            emit(out, o, cmd);
}

static void bash_word(FILE *out, const struct opt *o, const char *cmd)
{
    (void)cmd;
    fprintf(out, " --%s", o->name);
}

/* How the value after an option is completed. */
static void bash_value(FILE *out, const struct opt *o, const char *cmd)
{
    if (o->type == OPT_FLAG)
        return;
    fprintf(out, "        %s:--%s", cmd, o->name);
    if (o->short_name)
        fprintf(out, "|%s:-%c", cmd, o->short_name);
    fputs(") ", out);
    if (o->type == OPT_ENUM) {
        fputs("COMPREPLY=($(compgen -W '", out);
        for (int i = 0; o->choices[i]; i++)
            fprintf(out, "%s%s", i ? " " : "", o->choices[i]);
        fputs("' -- \"$cur\")); return;;\n", out);
    } else if (o->file) {
        fputs("compopt -o default; COMPREPLY=(); return;;\n", out);
    } else {
        fputs("COMPREPLY=(); return;;\n", out);
    }
}

static void bash_completion(FILE *out)
{
    fputs("# bash completion for fovea, made from its option tables\n"
          "_fovea()\n{\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd= words=\n"
          "    [ \"$COMP_CWORD\" -gt 1 ] && cmd=${COMP_WORDS[1]}\n"
          "    case \"$cmd:$prev\" in\n",
          out);
    for (const struct cmd *const *c = app_commands; *c; c++)
        each_option(out, (*c)->opts, bash_value, (*c)->name);
    each_option(out, app_global_opts, bash_value, "*");
    fputs("    esac\n    case \"$cmd\" in\n        '') words='", out);
    for (const struct cmd *const *c = app_commands; *c; c++)
        fprintf(out, "%s ", (*c)->name);
    fputs("help --help --version';;\n        help) words='", out);
    for (const struct cmd *const *c = app_commands; *c; c++)
        fprintf(out, "%s ", (*c)->name);
    fputs("';;\n", out);
    for (const struct cmd *const *c = app_commands; *c; c++) {
        fprintf(out, "        %s) words='", (*c)->name);
        each_option(out, (*c)->opts, bash_word, NULL);
        each_option(out, app_global_opts, bash_word, NULL);
        fputs("';;\n", out);
    }
    fputs("    esac\n"
          "    if [[ $cur == -* || -z $cmd || $cmd == help ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
          "    fi\n"
          "    [ ${#COMPREPLY[@]} -eq 0 ] && [ \"$cmd\" != help ] && compopt -o default\n"
          "}\ncomplete -F _fovea fovea\n",
          out);
}

/* Text inside a zsh option spec: no brackets, colons or quotes. */
static void zsh_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("[]:\\", *text))
            fputc('\\', out);
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fputc(*text, out);
    }
}

static void zsh_value(FILE *out, const struct opt *o)
{
    if (o->type == OPT_FLAG)
        return;
    fputc(':', out);
    zsh_text(out, opt_placeholder(o));
    fputc(':', out);
    if (o->type == OPT_ENUM) {
        fputc('(', out);
        for (int i = 0; o->choices[i]; i++)
            fprintf(out, "%s%s", i ? " " : "", o->choices[i]);
        fputc(')', out);
    } else if (o->file) {
        fputs("_files", out);
    }
}

static void zsh_option(FILE *out, const struct opt *o, const char *cmd)
{
    (void)cmd;
    for (int form = o->short_name ? 0 : 1; form < 2; form++) {
        fputs(" \\\n            '", out);
        if (form)
            fprintf(out, "--%s", o->name);
        else
            fprintf(out, "-%c", o->short_name);
        fputc('[', out);
        zsh_text(out, o->help);
        fputc(']', out);
        zsh_value(out, o);
        fputc('\'', out);
    }
}

static void zsh_completion(FILE *out)
{
    fputs("#compdef fovea\n# made from fovea's option tables\n_fovea() {\n"
          "    local -a commands\n    commands=(\n",
          out);
    for (const struct cmd *const *c = app_commands; *c; c++) {
        fprintf(out, "        '%s:", (*c)->name);
        zsh_text(out, (*c)->summary);
        fputs("'\n", out);
    }
    fputs("        'help:all options of a command'\n    )\n"
          "    if (( CURRENT == 2 )); then\n"
          "        _describe command commands\n        _files\n        return\n    fi\n"
          "    local cmd=$words[2]\n    shift words\n    (( CURRENT-- ))\n"
          "    case $cmd in\n",
          out);
    for (const struct cmd *const *c = app_commands; *c; c++) {
        fprintf(out, "        %s) _arguments", (*c)->name);
        each_option(out, (*c)->opts, zsh_option, NULL);
        each_option(out, app_global_opts, zsh_option, NULL);
        fputs(" \\\n            '*:file:_files' ;;\n", out);
    }
    fputs("        help) _describe command commands ;;\n    esac\n}\n_fovea \"$@\"\n", out);
}

static void fish_text(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void fish_option(FILE *out, const struct opt *o, const char *cmd)
{
    fputs("complete -c fovea", out);
    if (cmd)
        fprintf(out, " -n '__fish_seen_subcommand_from %s'", cmd);
    if (o->short_name)
        fprintf(out, " -s %c", o->short_name);
    fprintf(out, " -l %s", o->name);
    if (o->type != OPT_FLAG)
        fputs(o->file ? " -r" : " -x", out);
    if (o->type == OPT_ENUM) {
        fputs(" -a '", out);
        for (int i = 0; o->choices[i]; i++)
            fprintf(out, "%s%s", i ? " " : "", o->choices[i]);
        fputc('\'', out);
    }
    fputs(" -d '", out);
    fish_text(out, o->help);
    fputs("'\n", out);
}

static void fish_completion(FILE *out)
{
    fputs("# fish completion for fovea, made from its option tables\n", out);
    for (const struct cmd *const *c = app_commands; *c; c++) {
        fprintf(out, "complete -c fovea -n __fish_use_subcommand -a %s -d '", (*c)->name);
        fish_text(out, (*c)->summary);
        fputs("'\n", out);
    }
    fputs("complete -c fovea -n __fish_use_subcommand -a help -d 'all options of a command'\n",
          out);
    each_option(out, app_global_opts, fish_option, NULL);
    for (const struct cmd *const *c = app_commands; *c; c++)
        each_option(out, (*c)->opts, fish_option, (*c)->name);
}

int doc_completion(FILE *out, const char *shell)
{
    if (!strcmp(shell, "bash"))
        bash_completion(out);
    else if (!strcmp(shell, "zsh"))
        zsh_completion(out);
    else if (!strcmp(shell, "fish"))
        fish_completion(out);
    else
        return fv_fail(FV_EINVALID, "--completion: no \"%s\"; choose one of bash, zsh, fish",
                       shell);
    return 0;
}
