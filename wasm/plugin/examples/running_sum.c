/* A running sum by key, written from wasm/wit/eventflux.wit alone: no library, no generator. A table of fixed size; what
 * does not fit is `state-limit`. Configuration: {"field": "amount"}; the values must be whole numbers or null.
 *
 *     clang --target=wasm32 -mbulk-memory -O2 -ffreestanding -nostdlib -Wl,--no-entry -o running_sum.wasm running_sum.c
 *
 * How calls arrive (the component model's canonical ABI): strings and lists as pointer and length, which the host has
 * put into memory of `cabi_realloc`; what does not fit into one register comes back as a pointer to a record. After
 * the host has read it, it calls `cabi_post_…`, and all memory of the call is free again. */
#include <stdbool.h>
#include <stdint.h>

#define KEYS_MAX 4096u /* a power of two */
#define KEY_BYTES_MAX 64u
#define FIELD_BYTES_MAX 64u
#define HEADER_BYTES 26u
#define ROW_BYTES_MAX (1 + KEY_BYTES_MAX + 8)

#define EXPORT(name) __attribute__((export_name(name)))
#define OPERATOR "eventflux:plugin/operator@1.0.0#"
#define CHECKPOINTING "eventflux:plugin/checkpointing@1.0.0#"
#define TEXT(literal) (struct text){literal, sizeof(literal) - 1}

struct text {
  const char *bytes;
  uint32_t length;
};

/* ---- state ---- */

struct entry {
  int64_t sum;
  uint8_t key[KEY_BYTES_MAX];
  uint8_t length;
  bool used;
  bool dirty;  /* changed since the cut of the newest checkpoint */
  bool frozen; /* in the checkpoint under way, because it had changed */
  bool waits;  /* in the checkpoint under way, and not handed out yet */
};

static struct entry entries[KEYS_MAX], restored[KEYS_MAX];
static uint32_t used, restored_used;
static char field[FIELD_BYTES_MAX];
static struct text field_name;
static bool configured;

/* The checkpoint under way, and the newest that was kept. */
static struct {
  bool under_way, full, finished;
  uint64_t epoch;
  uint32_t number, at;
} cut;
static bool has_base;
static uint64_t base_epoch;

/* The frame before, in a restore. */
static struct {
  bool begun, last;
  uint64_t epoch;
  uint32_t number;
} chain;

static bool same(const uint8_t *a, const uint8_t *b, uint32_t length) {
  for (uint32_t i = 0; i < length; i++)
    if (a[i] != b[i]) return false;
  return true;
}

/* The entry of a key, or the free one where it goes; none if the table is full. */
static struct entry *find(struct entry *table, const uint8_t *key, uint32_t length) {
  uint32_t hash = 2166136261u;
  for (uint32_t i = 0; i < length; i++) hash = (hash ^ key[i]) * 16777619u;
  for (uint32_t i = 0; i < KEYS_MAX; i++) {
    struct entry *entry = &table[(hash + i) % KEYS_MAX];
    if (!entry->used || (entry->length == length && same(entry->key, key, length))) return entry;
  }
  return 0;
}

static void fill(struct entry *entry, const uint8_t *key, uint32_t length) {
  for (uint32_t i = 0; i < length; i++) entry->key[i] = key[i];
  entry->length = (uint8_t)length;
  entry->used = true;
}

/* ---- memory of a call: handed out from its beginning, given back all at once ---- */

extern uint8_t __heap_base;
static uint32_t top;

static void *reserve(uint32_t bytes, uint32_t align) {
  if (top == 0) top = (uint32_t)&__heap_base;
  uint32_t start = (top + align - 1) & ~(align - 1);
  if (start < top || bytes > UINT32_MAX - 0xffff - start) __builtin_trap();
  uint32_t pages = (start + bytes + 0xffff) >> 16;
  uint32_t held = (uint32_t)__builtin_wasm_memory_size(0);
  if (pages > held && __builtin_wasm_memory_grow(0, pages - held) == (unsigned long)-1) __builtin_trap();
  top = start + bytes;
  return (void *)start;
}

EXPORT("cabi_realloc") void *cabi_realloc(uint8_t *old, uint32_t old_bytes, uint32_t align, uint32_t bytes) {
  uint8_t *fresh = reserve(bytes, align);
  for (uint32_t i = 0; i < old_bytes && i < bytes; i++) fresh[i] = old[i];
  return fresh;
}

static void give_back(void) { top = 0; }

/* ---- answers ---- */

enum error { BAD_CONFIG, BAD_EVENT, STATE_LIMIT, UNSUPPORTED_SCHEMA, CORRUPT, CHAIN_GAP, INTERNAL };

/* A `result`: 0 and what is meant by it, or 1 and an `error`; big enough for all of them. */
struct answer {
  uint8_t is_error;
  union {
    struct {
      const void *inputs;
      uint32_t inputs_length;
      const void *outputs;
      uint32_t outputs_length;
      uint8_t watermarks;
    } setup;
    struct {
      const void *bytes;
      uint32_t length;
    } list;
    struct {
      uint8_t is_some;
      const void *bytes;
      uint32_t length;
    } option;
    struct {
      uint8_t kind;
      union {
        struct text reason;
        struct {
          uint32_t index;
          struct text reason;
        } bad_event;
      };
    } error;
  };
};

static struct answer *ok(void) {
  struct answer *answer = reserve(sizeof *answer, 4);
  *answer = (struct answer){0};
  return answer;
}

static struct answer *fail(enum error kind, struct text reason) {
  struct answer *answer = ok();
  answer->is_error = 1;
  answer->error.kind = (uint8_t)kind;
  answer->error.reason = reason;
  return answer;
}

static struct answer *bad_event(uint32_t index, struct text reason) {
  struct answer *answer = fail(BAD_EVENT, reason);
  answer->error.bad_event.index = index;
  answer->error.bad_event.reason = reason;
  return answer;
}

/* ---- packed bytes ---- */

struct reader {
  const uint8_t *bytes, *end;
  bool failed;
};

static uint8_t take_byte(struct reader *reader) {
  if (reader->bytes == reader->end) {
    reader->failed = true;
    return 0;
  }
  return *reader->bytes++;
}

static uint64_t take_varint(struct reader *reader) {
  uint64_t number = 0;
  for (uint32_t shift = 0; shift < 64; shift += 7) {
    uint8_t byte = take_byte(reader);
    number |= (uint64_t)(byte & 0x7f) << shift;
    if (byte < 0x80) return number;
  }
  reader->failed = true;
  return 0;
}

static int64_t take_zigzag(struct reader *reader) {
  uint64_t number = take_varint(reader);
  return (int64_t)(number >> 1) ^ -(int64_t)(number & 1);
}

static const uint8_t *take_bytes(struct reader *reader, uint64_t length) {
  const uint8_t *start = reader->bytes;
  if (length > (uint64_t)(reader->end - start)) {
    reader->failed = true;
    return start;
  }
  reader->bytes += length;
  return start;
}

static uint64_t take_fixed(struct reader *reader, uint32_t bytes) {
  uint64_t number = 0;
  for (uint32_t i = 0; i < bytes; i++) number |= (uint64_t)take_byte(reader) << (8 * i);
  return number;
}

/* Writes at the end of the call's memory, so that it can grow. */
static void put(uint8_t byte) { *(uint8_t *)reserve(1, 1) = byte; }

static void put_bytes(const uint8_t *bytes, uint32_t length) {
  for (uint32_t i = 0; i < length; i++) put(bytes[i]);
}

static void put_varint(uint64_t number) {
  for (; number >= 0x80; number >>= 7) put((uint8_t)number | 0x80);
  put((uint8_t)number);
}

static void put_zigzag(int64_t number) { put_varint(((uint64_t)number << 1) ^ (uint64_t)(number >> 63)); }

static void put_fixed(uint64_t number, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; i++) put((uint8_t)(number >> (8 * i)));
}

struct item {
  bool is_event;
  int64_t timestamp;
  const uint8_t *key;
  uint64_t key_length;
  uint8_t kind; /* of the value: 0 null, 2 whole number */
  int64_t value;
};

static struct item take_item(struct reader *reader) {
  struct item item = {0};
  item.is_event = take_byte(reader) == 0;
  item.timestamp = take_zigzag(reader);
  if (!item.is_event) return item;
  item.key_length = take_varint(reader);
  item.key = take_bytes(reader, item.key_length);
  item.kind = take_byte(reader);
  switch (item.kind) {
    case 1: take_byte(reader); break;
    case 2: item.value = take_zigzag(reader); break;
    case 3: take_bytes(reader, 8); break;
    case 4: take_bytes(reader, take_varint(reader)); break;
    default: break;
  }
  return item;
}

/* ---- operator ---- */

/* Finds `"field": "…"`. A name with a backslash in it is none for this small reader. */
static bool read_field(const uint8_t *config, uint32_t length) {
  static const char name[] = "\"field\"";
  for (uint32_t at = 0; at + sizeof name - 1 <= length; at++) {
    if (!same(config + at, (const uint8_t *)name, sizeof name - 1)) continue;
    at += sizeof name - 1;
    while (at < length && (config[at] == ' ' || config[at] == ':')) at++;
    if (at >= length || config[at++] != '"') return false;
    uint32_t end = at;
    while (end < length && config[end] != '"' && config[end] != '\\') end++;
    if (end >= length || config[end] != '"' || end == at || end - at > FIELD_BYTES_MAX) return false;
    for (uint32_t i = at; i < end; i++) field[i - at] = (char)config[i];
    field_name = (struct text){field, end - at};
    return true;
  }
  return false;
}

EXPORT(OPERATOR "init") struct answer *init(const uint8_t *config, uint32_t length, uint64_t state_budget) {
  static const struct text output = {"sum", 3};
  if (configured) return fail(INTERNAL, TEXT("`init` was called before"));
  if (state_budget < sizeof entries + sizeof restored)
    return fail(STATE_LIMIT, TEXT("the table takes more memory than the state may"));
  if (!read_field(config, length)) return fail(BAD_CONFIG, TEXT("`field` must name the field to sum up"));
  configured = true;
  struct answer *answer = ok();
  answer->setup.inputs = &field_name;
  answer->setup.inputs_length = 1;
  answer->setup.outputs = &output;
  answer->setup.outputs_length = 1;
  return answer;
}

/* Whether all events can be taken, before the first changes anything. */
static struct answer *check(struct reader reader) {
  for (uint32_t index = 0; reader.bytes != reader.end; index++) {
    struct item item = take_item(&reader);
    if (reader.failed) return fail(INTERNAL, TEXT("the batch is cut short"));
    if (!item.is_event) continue;
    if (item.key_length > KEY_BYTES_MAX) return bad_event(index, TEXT("a key of more than 64 bytes"));
    if (item.kind != 0 && item.kind != 2) return bad_event(index, TEXT("a value that is no whole number"));
  }
  return 0;
}

EXPORT(OPERATOR "process") struct answer *process(const uint8_t *batch, uint32_t length) {
  struct reader reader = {batch, batch + length, false};
  struct answer *refused = check(reader), *answer = ok();
  if (refused) return refused;
  uint8_t *start = reserve(0, 1);
  for (uint32_t index = 0; reader.bytes != reader.end; index++) {
    struct item item = take_item(&reader);
    if (!item.is_event) continue;
    uint32_t key_length = (uint32_t)item.key_length;
    struct entry *entry = find(entries, item.key, key_length);
    if (!entry || (!entry->used && used == KEYS_MAX - 1)) return fail(STATE_LIMIT, TEXT("more than 4095 keys"));
    if (!entry->used) {
      fill(entry, item.key, key_length);
      used++;
      entry->dirty = true;
    }
    if (item.kind == 2) {
      if (__builtin_add_overflow(entry->sum, item.value, &entry->sum)) return fail(INTERNAL, TEXT("a sum overflows"));
      entry->dirty = true;
    }
    put_varint(index);
    put_zigzag(item.timestamp);
    put_varint(key_length);
    put_bytes(item.key, key_length);
    put(2);
    put_zigzag(entry->sum);
  }
  answer->list.bytes = start;
  answer->list.length = (uint32_t)((uint8_t *)reserve(0, 1) - start);
  return answer;
}

EXPORT(OPERATOR "on-watermark") struct answer *on_watermark(int64_t ms) {
  (void)ms;
  return ok();
}

/* ---- checkpoints ---- */

static const struct schema {
  struct text name;
  uint32_t version;
} schema = {{"running-sum", 11}, 1};

static const struct {
  struct text name, version;
  struct schema schema;
} description = {{"running-sum", 11}, {"1.0.0", 5}, {{"running-sum", 11}, 1}};

static const struct {
  const struct schema *schemas;
  uint32_t length;
} readable_schemas = {&schema, 1};

EXPORT(CHECKPOINTING "describe") const void *describe(void) { return &description; }

EXPORT(CHECKPOINTING "readable") const void *readable(void) { return &readable_schemas; }

EXPORT(CHECKPOINTING "checkpoint-begin") struct answer *checkpoint_begin(uint64_t epoch, uint32_t full) {
  if (cut.under_way) return fail(INTERNAL, TEXT("a checkpoint is under way"));
  cut.under_way = true;
  cut.full = full || !has_base;
  cut.finished = false;
  cut.epoch = epoch;
  cut.number = cut.at = 0;
  for (uint32_t i = 0; i < KEYS_MAX; i++) {
    struct entry *entry = &entries[i];
    entry->frozen = entry->dirty;
    entry->waits = entry->used && (cut.full || entry->dirty);
    entry->dirty = false;
  }
  return ok();
}

/* A frame: "SUM1", full, last (1 byte each), epoch, epoch it builds on (8), number (4); rows: key length (1), key, sum (8). */
EXPORT(CHECKPOINTING "checkpoint-next") struct answer *checkpoint_next(uint32_t max_bytes) {
  if (!cut.under_way) return fail(INTERNAL, TEXT("no checkpoint is under way"));
  struct answer *answer = ok();
  if (cut.finished) return answer;
  uint8_t *start = reserve(0, 1);
  put_bytes((const uint8_t *)"SUM1", 4);
  put(cut.full);
  uint8_t *last = reserve(1, 1);
  put_fixed(cut.epoch, 8);
  put_fixed(base_epoch, 8);
  put_fixed(cut.number++, 4);
  for (; cut.at < KEYS_MAX; cut.at++) {
    struct entry *entry = &entries[cut.at];
    if (!entry->waits) continue;
    if ((uint32_t)((uint8_t *)reserve(0, 1) - start) + ROW_BYTES_MAX > max_bytes) break;
    put(entry->length);
    put_bytes(entry->key, entry->length);
    put_fixed((uint64_t)entry->sum, 8);
    entry->waits = false;
  }
  *last = cut.finished = cut.at == KEYS_MAX;
  answer->option.is_some = 1;
  answer->option.bytes = start;
  answer->option.length = (uint32_t)((uint8_t *)reserve(0, 1) - start);
  return answer;
}

EXPORT(CHECKPOINTING "checkpoint-end") struct answer *checkpoint_end(uint64_t epoch, uint32_t durable) {
  if (!cut.under_way || cut.epoch != epoch) return fail(INTERNAL, TEXT("this checkpoint is not under way"));
  if (durable && !cut.finished) return fail(INTERNAL, TEXT("not all frames were handed out"));
  cut.under_way = false;
  for (uint32_t i = 0; i < KEYS_MAX; i++) {
    entries[i].dirty |= !durable && entries[i].frozen;
    entries[i].frozen = entries[i].waits = false;
  }
  if (durable) {
    has_base = true;
    base_epoch = epoch;
  }
  return ok();
}

EXPORT(CHECKPOINTING "restore") struct answer *restore(const uint8_t *frame, uint32_t length) {
  struct reader reader = {frame, frame + length, false};
  if (length < HEADER_BYTES || !same(frame, (const uint8_t *)"SUM1", 4)) return fail(CORRUPT, TEXT("no frame of sums"));
  take_bytes(&reader, 4);
  bool full = take_byte(&reader), last = take_byte(&reader);
  uint64_t epoch = take_fixed(&reader, 8), base = take_fixed(&reader, 8);
  uint32_t number = (uint32_t)take_fixed(&reader, 4);
  bool follows = !chain.begun              ? full && number == 0
                 : !chain.last             ? epoch == chain.epoch && number == chain.number + 1
                 : number == 0 && !full    ? base == chain.epoch
                                           : number == 0;
  if (!follows) return fail(CHAIN_GAP, TEXT("another frame comes next"));
  if (full && number == 0) {
    for (uint32_t i = 0; i < KEYS_MAX; i++) restored[i].used = false;
    restored_used = 0;
  }
  while (reader.bytes != reader.end) {
    uint32_t key_length = take_byte(&reader);
    const uint8_t *key = take_bytes(&reader, key_length);
    int64_t sum = (int64_t)take_fixed(&reader, 8);
    if (reader.failed || key_length > KEY_BYTES_MAX) return fail(CORRUPT, TEXT("a row is cut short"));
    struct entry *entry = find(restored, key, key_length);
    if (!entry || (!entry->used && restored_used == KEYS_MAX - 1)) return fail(CORRUPT, TEXT("more than 4095 keys"));
    restored_used += !entry->used;
    fill(entry, key, key_length);
    entry->sum = sum;
  }
  chain.begun = true;
  chain.last = last;
  chain.epoch = epoch;
  chain.number = number;
  return ok();
}

EXPORT(CHECKPOINTING "restore-end") struct answer *restore_end(void) {
  if (!chain.begun || !chain.last) return fail(CHAIN_GAP, TEXT("the last frame is missing"));
  for (uint32_t i = 0; i < KEYS_MAX; i++) {
    entries[i] = restored[i];
    entries[i].dirty = entries[i].frozen = entries[i].waits = false;
  }
  used = restored_used;
  has_base = true;
  base_epoch = chain.epoch;
  return ok();
}

/* What the host calls once it has read an answer. */
#define POST(name, function) \
  EXPORT("cabi_post_" name) void function(const void *answer) { (void)answer, give_back(); }
POST(OPERATOR "init", post_init)
POST(OPERATOR "process", post_process)
POST(OPERATOR "on-watermark", post_on_watermark)
POST(CHECKPOINTING "checkpoint-begin", post_checkpoint_begin)
POST(CHECKPOINTING "checkpoint-next", post_checkpoint_next)
POST(CHECKPOINTING "checkpoint-end", post_checkpoint_end)
POST(CHECKPOINTING "restore", post_restore)
POST(CHECKPOINTING "restore-end", post_restore_end)
