/* The configuration's YAML: sections with plain keys and values, two levels and nothing else. Read event by event, so
 * that every message has its line, nothing is built in memory, and anchors, aliases and nesting have no room to grow. */
#include "config_keys.h"

#include <string.h>
#include <yaml.h>

enum { MAX_SECTION = 32, MAX_KEYS = 64 };

typedef struct config_reader {
    yaml_parser_t parser;
    yaml_event_t event;
    const unsigned char *bytes;
    size_t line; /* where the event begins, from 1: what messages name */
} config_reader;

/* Replace the event by the next one. */
static mm_status next(config_reader *reader, mm_error *err)
{
    yaml_event_delete(&reader->event);
    const yaml_parser_t *parser = &reader->parser;
    if (yaml_parser_parse(&reader->parser, &reader->event)) {
        reader->line = reader->event.start_mark.line + 1;
        return MM_OK;
    }
    if (parser->error == YAML_MEMORY_ERROR)
        return mm_fail_memory(err, "reading a config");
    if (parser->error == YAML_READER_ERROR) { /* libyaml reads ahead and knows only the offset */
        reader->line = 1;
        for (size_t i = 0; i < parser->problem_offset; i++)
            reader->line += reader->bytes[i] == '\n';
        return mm_fail(err, MM_ERR_USAGE, "byte %zu: %s; a config is UTF-8 text", parser->problem_offset,
                       parser->problem);
    }
    reader->line = parser->problem_mark.line + 1;
    return mm_fail(err, MM_ERR_USAGE, "is not YAML: %s", parser->problem);
}

/* The text of a scalar event as a C string, or NULL for anything else. */
static const char *scalar(const yaml_event_t *event)
{
    if (event->type != YAML_SCALAR_EVENT)
        return NULL;
    const char *text = (const char *)event->data.scalar.value;
    return strlen(text) == event->data.scalar.length ? text : NULL;
}

/* At the event of the key's name. */
static mm_status read_value(config_reader *reader, size_t key, mm_config *config, mm_error *err)
{
    const size_t line = reader->line;
    mm_status status = next(reader, err);
    if (status != MM_OK)
        return status;
    reader->line = line; /* a value on a line of its own still belongs to its key */
    const char *text = scalar(&reader->event);
    if (!text)
        return mm_fail(err, MM_ERR_USAGE, "%s.%s: takes one value, not a list, a section or an alias",
                       mm_config_key_section(key), mm_config_key_name(key));
    return mm_config_key_set(config, key, text, err);
}

/* At the event after the section's name. */
static mm_status read_section(config_reader *reader, const char *section, mm_config *config, bool seen[MAX_KEYS],
                              mm_error *err)
{
    const char *text = scalar(&reader->event);
    if (text && text[0] == '\0')
        return MM_OK; /* "amg:" with all its keys commented out */
    if (reader->event.type != YAML_MAPPING_START_EVENT)
        return mm_fail(err, MM_ERR_USAGE, "%s: is a section; write its keys indented below it", section);
    for (;;) {
        mm_status status = next(reader, err);
        if (status != MM_OK || reader->event.type == YAML_MAPPING_END_EVENT)
            return status;
        const char *name = scalar(&reader->event);
        if (!name)
            return mm_fail(err, MM_ERR_USAGE, "%s: a key must be a plain word", section);
        const size_t key = mm_config_key_find(section, name);
        if (key == mm_config_key_count())
            return mm_fail(err, MM_ERR_USAGE, "%s.%.60s: unknown key; docs/configuration.md lists all keys", section,
                           name);
        if (seen[key])
            return mm_fail(err, MM_ERR_USAGE, "%s.%s: stands here a second time; keep one", section, name);
        seen[key] = true;
        status = read_value(reader, key, config, err);
        if (status != MM_OK)
            return status;
    }
}

/* At the mapping that is the whole document. */
static mm_status read_sections(config_reader *reader, mm_config *config, mm_error *err)
{
    bool seen[MAX_KEYS] = {false};
    for (;;) {
        mm_status status = next(reader, err);
        if (status != MM_OK || reader->event.type == YAML_MAPPING_END_EVENT)
            return status;
        const char *name = scalar(&reader->event);
        if (!name || !mm_config_has_section(name))
            return mm_fail(err, MM_ERR_USAGE, "%.60s: unknown section; there are amg, corpus, output, image, journal, hints and "
                           "detect",
                           name ? name : "a list, a section or an alias");
        char section[MAX_SECTION]; /* the event that holds the name goes with the next */
        (void)snprintf(section, sizeof section, "%s", name);
        status = next(reader, err);
        if (status == MM_OK)
            status = read_section(reader, section, config, seen, err);
        if (status != MM_OK)
            return status;
    }
}

/* At the first event of the document's content. */
static mm_status read_document(config_reader *reader, mm_config *config, mm_error *err)
{
    const char *text = scalar(&reader->event);
    if (reader->event.type == YAML_MAPPING_START_EVENT)
        return read_sections(reader, config, err);
    if (text && text[0] == '\0')
        return MM_OK; /* "---" and nothing below it */
    return mm_fail(err, MM_ERR_USAGE, "a config is made of sections (amg, output, image, ...) with keys below them");
}

static mm_status read_stream(config_reader *reader, mm_config *config, mm_error *err)
{
    mm_status status = next(reader, err); /* the stream's start */
    if (status == MM_OK)
        status = next(reader, err); /* the document's start, or no document: only comments, every default */
    if (status != MM_OK || reader->event.type == YAML_STREAM_END_EVENT)
        return status;
    status = next(reader, err);
    if (status == MM_OK)
        status = read_document(reader, config, err);
    if (status == MM_OK)
        status = next(reader, err); /* the document's end */
    if (status == MM_OK)
        status = next(reader, err);
    if (status == MM_OK && reader->event.type != YAML_STREAM_END_EVENT)
        status = mm_fail(err, MM_ERR_USAGE, "a second document begins here; a config is one");
    return status;
}

mm_status mm_config_parse_yaml(const char *file, const unsigned char *bytes, size_t size, mm_config *config,
                               mm_error *err)
{
    if (mm_config_key_count() > MAX_KEYS)
        return mm_fail(err, MM_ERR_INTERNAL, "more than %d config keys", (int)MAX_KEYS);
    config_reader reader = {.bytes = bytes, .line = 1};
    if (!yaml_parser_initialize(&reader.parser))
        return mm_fail_memory(err, "reading a config");
    yaml_parser_set_input_string(&reader.parser, bytes, size);
    mm_status status = read_stream(&reader, config, err);
    if (status != MM_OK)
        status = mm_error_prefix(err, "%s:%zu", file, reader.line);
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    return status;
}
