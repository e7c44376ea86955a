/* SPDX-License-Identifier: MIT
 * Packs: see pack.h. What is expected is made first, header and table, and what stands in the file is held against it; the reasons for a
 * refusal are looked for afterwards, for the message alone.
 *
 * Threads: see pack.h. */
#include "files/pack.h"

#include "files/sink.h"

#include "base/digest.h"
#include "base/os.h"
#include "base/size.h"

#include <string.h>

enum { PACK_HEADER = 256, PACK_ALIGN = 64, PACK_DEVICE = 16, PACK_ORDER = 0x01020304, PACK_READ = 64 * 1024, PACK_LOOK = 4 << 20 };
static const char pack_magic[8] = { 'l', 'l', 'm', 'p', 'a', 'c', 'k', '\n' };

typedef struct pack_header {
    char     magic[8];
    uint32_t version, order;            /* order: of bytes in a number */
    char     device[PACK_DEVICE];
    uint32_t layout, arithmetic, n_items, reserved_1;
    uint64_t file_bytes, table_offset;
    uint64_t source_bytes, source_header, source_samples, source_time;
    uint64_t reserved_2[19];
    uint64_t digest;                    /* of all before */
} pack_header;
_Static_assert(sizeof(pack_header) == PACK_HEADER, "no padding");

typedef struct pack_entry {
    uint64_t name, n_rows, n_cols, first, offset, bytes;
    uint32_t type, is_vector;
    uint64_t digest;                    /* of the item's bytes: the last field */
} pack_entry;
_Static_assert(sizeof(pack_entry) == 64, "no padding");

/* ---- what a pack is for */

static llm_status pack_digest_header(lm_source *source, uint64_t n, unsigned char *room, lm_digest *digest, llm_error *error)
{
    for (uint64_t at = 0; at < n;) {
        size_t take = (size_t)LM_MIN(n - at, (uint64_t)PACK_READ);
        LM_TRY(lm_source_read(source, at, room, take, error));
        lm_digest_add(digest, room, take);
        at += take;
    }
    return LLM_OK;
}

/* File systems keep the time of a change by the tick of a clock, or in whole seconds (or two): a file changed twice in a tick looks as if it was
 * changed once. A time that is older than a tick cannot be borne by a change to come. */
static bool pack_time_fresh(int64_t stamp)
{
    int64_t tick = stamp % 1000000000 != 0 ? 50000000 : 2100000000, now = lm_os_wall_ns();
    return now <= 0 || (stamp > now - tick && stamp < now + 2000000000);        /* without a clock nobody knows */
}

static llm_status pack_digest_times(const lm_catalogue *c, lm_pack_key *key, llm_error *error)
{
    lm_digest digest;
    lm_digest_begin(&digest);
    for (size_t i = 0; i < c->n_sources; i++) {
        int64_t stamp = 0;
        llm_status status = lm_source_stamp(c->sources[i], &stamp, error);
        if (status == LLM_E_NOT_FOUND)
            continue;
        LM_TRY(status);
        key->fresh |= pack_time_fresh(stamp);
        lm_digest_add(&digest, &stamp, sizeof stamp);
    }
    key->source_time = lm_digest_end(&digest);
    return LLM_OK;
}

static llm_status pack_digest_source(lm_catalogue *c, unsigned char *room, lm_pack_key *key, llm_error *error)
{
    lm_digest headers;
    lm_digest_begin(&headers);
    for (size_t i = 0; i < c->n_sources; i++) {
        uint64_t size = lm_source_size(c->sources[i]), data = size;
        for (size_t t = 0; t < c->n_tensors; t++)
            if (c->tensors[t].source == i)
                data = LM_MIN(data, c->tensors[t].offset);
        lm_digest_add(&headers, &size, sizeof size);
        LM_TRY(pack_digest_header(c->sources[i], data, room, &headers, error));
    }
    LM_TRY(lm_catalogue_samples(c, &key->source_samples, error));
    key->source_bytes = c->file_bytes;
    key->source_header = lm_digest_end(&headers);
    return pack_digest_times(c, key, error);
}

llm_status lm_pack_identify(lm_catalogue *catalogue, lm_pack_key *key, llm_error *error)
{
    unsigned char *room = lm_mem_raw(&catalogue->host->mem, PACK_READ, LLM_MEMORY_OTHER);
    if (!room)
        return lm_fail_memory(error, "reading a model's header", PACK_READ);
    llm_status status = pack_digest_source(catalogue, room, key, error);
    lm_mem_free(&catalogue->host->mem, room);
    return status;
}

/* ---- what is expected */

static uint64_t pack_table_bytes(uint32_t n_items) { return (uint64_t)n_items * sizeof(pack_entry) + sizeof(uint64_t); }

/* Entries without digests. false: more than 63 bits. */
static bool pack_entries(const lm_pack_item *items, uint32_t n, pack_entry *entries, uint64_t *end)
{
    uint64_t at = PACK_HEADER;
    for (uint32_t i = 0; i < n; i++) {
        const lm_pack_item *item = &items[i];
        entries[i] = (pack_entry){ .name = item->name, .n_rows = item->n_rows, .n_cols = item->n_cols, .first = item->first, .offset = at, .bytes = item->bytes,
                                   .type = item->type, .is_vector = item->is_vector };
        if (!lm_add_u64(at, item->bytes, &at) || !lm_align_u64(at, PACK_ALIGN, &at) || at > INT64_MAX / 2)
            return false;
    }
    *end = at;
    return true;
}

static void pack_header_of(const lm_pack_key *key, uint32_t n_items, uint64_t table, pack_header *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->magic, pack_magic, sizeof pack_magic);
    out->version = LM_PACK_VERSION;
    out->order = PACK_ORDER;
    memcpy(out->device, key->device, LM_MIN(strlen(key->device), (size_t)PACK_DEVICE - 1));
    out->layout = key->layout;
    out->arithmetic = key->arithmetic;
    out->n_items = n_items;
    out->table_offset = table;
    out->file_bytes = table + pack_table_bytes(n_items);
    out->source_bytes = key->source_bytes;
    out->source_header = key->source_header;
    out->source_samples = key->source_samples;
    out->source_time = key->source_time;
    out->digest = lm_digest_of(out, offsetof(pack_header, digest));
}

/* ---- opening */

struct lm_pack {
    lm_host *host;
    const unsigned char *bytes;         /* NULL: not mapped yet */
    uint64_t n_bytes;
    uint32_t n_items, reserved;
    pack_entry entries[];               /* of the file, all digests in place */
};

static const char *pack_difference(const pack_header *there, const pack_header *wanted)
{
    if (there->order != wanted->order || there->version != wanted->version)
        return "it has another version of the format";
    if (there->digest != lm_digest_of(there, offsetof(pack_header, digest)))
        return "its header is damaged";
    if (memcmp(there->device, wanted->device, sizeof wanted->device) != 0 || there->layout != wanted->layout)
        return "its weights are laid out for something else";
    if (there->arithmetic != wanted->arithmetic)
        return "it is of another arithmetic";
    if (there->source_bytes != wanted->source_bytes || there->source_header != wanted->source_header || there->source_samples != wanted->source_samples)
        return "it is of another model";
    if (there->source_time != wanted->source_time)
        return "the model's file was changed or copied since it was made";
    return "it is of another version of the library";
}

static llm_status pack_check_header(lm_file file, uint64_t size, llm_str path, const pack_header *wanted, llm_error *error)
{
    pack_header there;
    size_t magic = (size_t)LM_MIN(size, sizeof pack_magic), whole = (size_t)LM_MIN(size, sizeof there);
    memset(&there, 0, sizeof there);
    LM_TRY(lm_file_read(file, 0, &there, whole, error));
    if (memcmp(there.magic, pack_magic, magic) != 0)
        return lm_fail_at(error, LLM_E_STATE, path.ptr, path.len, 0, "what stands there is no pack");
    if (whole < sizeof there)
        return lm_fail_at(error, LLM_E_FORMAT, path.ptr, path.len, size, "it is truncated");
    if (memcmp(&there, wanted, sizeof there) != 0)
        return lm_fail_at(error, LLM_E_FORMAT, path.ptr, path.len, 0, "%s", pack_difference(&there, wanted));
    if (size != wanted->file_bytes)
        return lm_fail_at(error, LLM_E_FORMAT, path.ptr, path.len, size, "it has %llu bytes where %llu are expected", (unsigned long long)size,
                          (unsigned long long)wanted->file_bytes);
    return LLM_OK;
}

/* Takes the file's digests over into entries that are as expected. */
static llm_status pack_check_table(lm_file file, llm_str path, const pack_header *wanted, pack_entry *entries, llm_error *error)
{
    uint64_t digest, at = wanted->table_offset;
    lm_digest sum;
    LM_TRY(lm_file_read(file, at + (uint64_t)wanted->n_items * sizeof *entries, &digest, sizeof digest, error));
    lm_digest_begin(&sum);
    for (uint32_t i = 0; i < wanted->n_items; i++, at += sizeof *entries) {
        pack_entry there;
        LM_TRY(lm_file_read(file, at, &there, sizeof there, error));
        lm_digest_add(&sum, &there, sizeof there);
        if (memcmp(&there, &entries[i], offsetof(pack_entry, digest)) != 0)
            return lm_fail_at(error, LLM_E_FORMAT, path.ptr, path.len, at, "its table is damaged, or of another version of the library");
        entries[i].digest = there.digest;
    }
    if (digest != lm_digest_end(&sum))
        return lm_fail_at(error, LLM_E_FORMAT, path.ptr, path.len, at, "its table is damaged");
    return LLM_OK;
}

/* Through the file and not a mapping: a disk that fails is an error here, and no signal. */
static llm_status pack_look_item(const pack_entry *entry, lm_file file, llm_str path, const lm_pack_look *look, uint64_t total, unsigned char *room,
                                 llm_error *error)
{
    lm_digest digest;
    lm_digest_begin(&digest);
    for (uint64_t at = 0; at < entry->bytes;) {
        size_t take = (size_t)LM_MIN(entry->bytes - at, (uint64_t)PACK_READ);
        if (look->progress && at % PACK_LOOK == 0 && look->progress(look->user, (float)((double)(entry->offset + at) / (double)total)) != 0)
            return lm_fail(error, LLM_E_CANCELLED, "loading was cancelled by the progress callback");
        LM_TRY(lm_file_read(file, entry->offset + at, room, take, error));
        lm_digest_add(&digest, room, take);
        at += take;
    }
    if (lm_digest_end(&digest) != entry->digest)
        return lm_fail_at(error, LLM_E_FORMAT, path.ptr, path.len, entry->offset, "its weights are damaged");
    return LLM_OK;
}

static llm_status pack_look(const lm_pack *p, lm_file file, llm_str path, const lm_pack_look *look, uint64_t total, llm_error *error)
{
    llm_status status = LLM_OK;
    unsigned char *room = lm_mem_raw(&p->host->mem, PACK_READ, LLM_MEMORY_OTHER);
    if (!room)
        return lm_fail_memory(error, "looking through a pack", PACK_READ);
    for (uint32_t i = 0; status >= 0 && i < p->n_items; i++)
        status = pack_look_item(&p->entries[i], file, path, look, total, room, error);
    lm_mem_free(&p->host->mem, room);
    return status;
}

static llm_status pack_map(lm_pack *p, lm_file file, llm_str path, const lm_pack_key *key, uint64_t table, const lm_pack_look *look, llm_error *error)
{
    pack_header wanted;
    uint64_t size;
    const void *bytes = NULL;
    pack_header_of(key, p->n_items, table, &wanted);
    LM_TRY(lm_file_size(file, &size, error));
    LM_TRY(pack_check_header(file, size, path, &wanted, error));
    LM_TRY(pack_check_table(file, path, &wanted, p->entries, error));
    if (look)
        LM_TRY(pack_look(p, file, path, look, table, error));
    LM_TRY(lm_file_map(file, size, &bytes, error));
    p->bytes = bytes;
    p->n_bytes = size;
    return LLM_OK;
}

llm_status lm_pack_open(lm_host *host, llm_str path, const lm_pack_key *key, const lm_pack_item *items, uint32_t n_items, const lm_pack_look *look,
                        lm_pack **out, llm_error *error)
{
    uint64_t bytes = sizeof(lm_pack) + (uint64_t)n_items * sizeof(pack_entry), table = 0;
    lm_file file;
    LM_TRY(lm_file_open(path.ptr, path.len, &file, error));
    llm_status status = LLM_OK;
    lm_pack *p = lm_mem_new(&host->mem, (size_t)bytes, LLM_MEMORY_OTHER);
    if (!p)
        status = lm_fail_memory(error, "a pack's table", (size_t)bytes);
    if (p) {
        p->host = host;
        p->n_items = n_items;
        if (!pack_entries(items, n_items, p->entries, &table))
            status = lm_fail(error, LLM_E_LIMIT, "the weights pass the size of a file");
    }
    if (status >= 0)
        status = pack_map(p, file, path, key, table, look, error);
    lm_file_close(file);
    if (status < 0) {
        lm_pack_close(p);
        return status;
    }
    *out = p;
    return LLM_OK;
}

void lm_pack_close(lm_pack *pack)
{
    if (!pack)
        return;
    if (pack->bytes)
        lm_file_unmap(pack->bytes, pack->n_bytes);
    lm_mem_free(&pack->host->mem, pack);
}

uint64_t lm_pack_bytes(const lm_pack *pack) { return pack->n_bytes; }
const void *lm_pack_data(const lm_pack *pack, uint32_t item) { return pack->bytes + pack->entries[item].offset; }

/* ---- writing */

struct lm_pack_writer {
    lm_host *host;
    lm_sink *sink;
    uint32_t n_items, n_written;
    pack_entry entries[];
};

static uint64_t pack_writer_bytes(uint32_t n_items) { return sizeof(lm_pack_writer) + (uint64_t)n_items * sizeof(pack_entry); }

uint64_t lm_pack_write_cost(llm_str path, uint32_t n_items)
{
    return lm_mem_cost(pack_writer_bytes(n_items)) + lm_sink_cost(path.len);
}

void lm_pack_sweep(lm_host *host, llm_str path) { lm_sink_sweep(host, path, pack_magic, sizeof pack_magic); }

llm_status lm_pack_write_open(lm_host *host, llm_str path, const lm_pack_key *key, const lm_pack_item *items, uint32_t n_items, lm_pack_writer **out,
                              llm_error *error)
{
    uint64_t table = 0;
    pack_header header;
    lm_pack_writer *w = lm_mem_new(&host->mem, (size_t)pack_writer_bytes(n_items), LLM_MEMORY_OTHER);
    if (!w)
        return lm_fail_memory(error, "a pack to write", (size_t)pack_writer_bytes(n_items));
    w->host = host;
    w->n_items = n_items;
    llm_status status = LLM_OK;
    if (!pack_entries(items, n_items, w->entries, &table))
        status = lm_fail(error, LLM_E_LIMIT, "the weights pass the size of a file");
    if (status >= 0)
        lm_pack_sweep(host, path);
    if (status >= 0)
        status = lm_sink_open_read_only(host, path.ptr, path.len, &w->sink, error);
    if (status >= 0) {
        pack_header_of(key, n_items, table, &header);
        status = lm_sink_write(w->sink, &header, sizeof header, error);
    }
    if (status < 0) {
        lm_pack_write_drop(w);
        return status;
    }
    *out = w;
    return LLM_OK;
}

llm_status lm_pack_write_item(lm_pack_writer *writer, const void *data, llm_error *error)
{
    static const unsigned char zeros[PACK_ALIGN];
    if (writer->n_written == writer->n_items)
        return lm_fail(error, LLM_E_INTERNAL, "a pack of %u items got one more", writer->n_items);
    pack_entry *entry = &writer->entries[writer->n_written++];
    entry->digest = lm_digest_of(data, (size_t)entry->bytes);
    LM_TRY(lm_sink_write(writer->sink, data, (size_t)entry->bytes, error));
    return lm_sink_write(writer->sink, zeros, (size_t)(-entry->bytes & (PACK_ALIGN - 1)), error);
}

llm_status lm_pack_write_end(lm_pack_writer *writer, llm_error *error)
{
    uint64_t digest = lm_digest_of(writer->entries, writer->n_items * sizeof *writer->entries);
    if (writer->n_written != writer->n_items)
        return lm_fail(error, LLM_E_INTERNAL, "a pack got %u of %u items", writer->n_written, writer->n_items);
    LM_TRY(lm_sink_write(writer->sink, writer->entries, writer->n_items * sizeof *writer->entries, error));
    LM_TRY(lm_sink_write(writer->sink, &digest, sizeof digest, error));
    return lm_sink_end(writer->sink, error);
}

void lm_pack_write_drop(lm_pack_writer *writer)
{
    if (!writer)
        return;
    lm_sink_drop(writer->sink);
    lm_mem_free(&writer->host->mem, writer);
}
