/* The C interface between Fovea and a backend. Every backend answers it, the built-in CPU backend included.
 *
 * Rules: every struct begins with struct_size, the size its writer knew; a reader uses a field only where
 * struct_size covers it. Within one major version fields are only appended. Strings are UTF-8, owned by
 * whoever returned them and valid until the object they came from is released (status: until the next call on
 * that thread). No function throws. Functions marked [any thread] may be called from several threads at once.
 */
#ifndef FOVEA_PLUGIN_H
#define FOVEA_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FOVEA_ABI_MAJOR 1
#define FOVEA_ABI_MINOR 0
#define FOVEA_MAX_RANK 8

/* True if `ptr->field` was known to the writer of *ptr. */
#define FOVEA_HAS(ptr, type, field) ((ptr)->struct_size >= offsetof(type, field) + sizeof((ptr)->field))

/* Same numbering as fovea::ErrorKind + 1; 0 is success. */
typedef enum fovea_code {
  FOVEA_OK = 0,
  FOVEA_INVALID_ARGUMENT,
  FOVEA_CORRUPT,
  FOVEA_UNSUPPORTED,
  FOVEA_RESOURCE_EXHAUSTED,
  FOVEA_VERSION_MISMATCH,
  FOVEA_BACKEND_FAULT,
  FOVEA_CANCELLED,
  FOVEA_IO
} fovea_code;

/* Outcome of a call. message is NULL on success; it stays valid until the next call on the same thread. */
typedef struct fovea_status {
  fovea_code code;
  const char* message;
} fovea_status;

/* Element type as in DLPack: code 0 int, 1 uint, 2 float, 4 bfloat, 6 bool. */
typedef struct fovea_dtype {
  uint8_t code;
  uint8_t bits;
  uint16_t lanes; /* 1 */
} fovea_dtype;

/* Type and layout of one operand; strides in elements. */
typedef struct fovea_tensor {
  size_t struct_size;
  fovea_dtype dtype;
  int32_t rank;
  int64_t shape[FOVEA_MAX_RANK];
  int64_t strides[FOVEA_MAX_RANK];
} fovea_tensor;

typedef enum fovea_attr_kind {
  FOVEA_ATTR_BOOL = 0, /* ints[0] */
  FOVEA_ATTR_INT,      /* ints[0] */
  FOVEA_ATTR_FLOAT,    /* floats[0] */
  FOVEA_ATTR_STRING,   /* text, count bytes, NUL behind them */
  FOVEA_ATTR_DTYPE,    /* ints[0]: code << 8 | bits */
  FOVEA_ATTR_INTS,     /* ints[0..count) */
  FOVEA_ATTR_FLOATS,   /* floats[0..count) */
  FOVEA_ATTR_SHAPE     /* ints[0..count) */
} fovea_attr_kind;

typedef struct fovea_attr {
  size_t struct_size;
  const char* name;
  fovea_attr_kind kind;
  size_t count;
  const int64_t* ints;
  const double* floats;
  const char* text;
} fovea_attr;

/* One op with concrete operand types. */
typedef struct fovea_op {
  size_t struct_size;
  const char* name; /* "matmul" */
  int32_t version;  /* 1 */
  size_t attr_count, input_count, output_count;
  const fovea_attr* attrs;
  const fovea_tensor* inputs;
  const fovea_tensor* outputs; /* always row-major */
} fovea_op;

typedef enum fovea_support_kind {
  FOVEA_SUPPORT_NO = 0,
  FOVEA_SUPPORT_NATIVE,
  FOVEA_SUPPORT_NEEDS_LAYOUT /* would run if the operands marked in `contiguous` were row-major */
} fovea_support_kind;

typedef struct fovea_support {
  size_t struct_size;
  fovea_support_kind kind;
  const char* reason;                /* why not, or what layout; never NULL unless NATIVE */
  const char* kernel;                /* name of the kernel that would run */
  uint64_t contiguous;               /* bit i: input i must be row-major */
  uint64_t in_place[FOVEA_MAX_RANK]; /* for output o < 8: bit i: it may take over the memory of input i */
  double cost_us;                    /* estimate, 0 unknown */
  int32_t deterministic;             /* 1: equal bits every time */
} fovea_support;

typedef struct fovea_buffer fovea_buffer;     /* memory of a device */
typedef struct fovea_queue fovea_queue;       /* an order of launches */
typedef struct fovea_event fovea_event;       /* a point in a queue */
typedef struct fovea_prepared fovea_prepared; /* an op made ready for fixed shapes */
typedef struct fovea_device fovea_device;

/* Where an operand lies. On backends with host memory `buffer` is the address itself. */
typedef struct fovea_ref {
  fovea_buffer* buffer;
  uint64_t offset; /* bytes */
} fovea_ref;

typedef struct fovea_launch {
  size_t struct_size;
  const fovea_ref* inputs;
  const fovea_ref* outputs;
  fovea_ref workspace;
} fovea_launch;

/* Services of the host to the plug-in. */
typedef struct fovea_host {
  size_t struct_size;
  void (*log)(int level, const char* message); /* 0 debug .. 3 error [any thread] */
  /* Runs body(context, i) for i in [0, n) on the host's threads and waits [any thread] */
  void (*parallel_for)(int64_t n, void (*body)(void* context, int64_t i), void* context);
  const char* (*get_option)(const char* name); /* NULL if unset */
  const char* (*cache_dir)(void);
} fovea_host;

typedef struct fovea_info {
  size_t struct_size;
  const char *name, *vendor, *version, *build_id;
  int32_t header_major, header_minor;
  int32_t device_kind; /* DLPack device type: 1 CPU, 2 CUDA, 4 OpenCL, 12 other */
} fovea_info;

typedef struct fovea_props {
  size_t struct_size;
  uint64_t memory_bytes;
  uint32_t alignment;
  uint32_t dtype_mask; /* bit d: fovea::DType d is supported */
  int32_t unified;     /* 1: buffers are host addresses */
  int32_t deterministic;
} fovea_props;

/* What a backend is. Entries marked (optional) may be NULL. */
typedef struct fovea_plugin_table {
  size_t struct_size;
  fovea_status (*info)(fovea_info* out); /* [any thread] */
  /* Number of devices; 0 comes with a reason. */
  fovea_status (*device_count)(int32_t* count, const char** reason);
  fovea_status (*device_open)(int32_t index, fovea_device** out);
  fovea_status (*device_close)(fovea_device* device);
  fovea_status (*shutdown)(void);
  fovea_status (*props)(fovea_device* device, fovea_props* out);

  /* Memory (optional where props.unified is 1). */
  fovea_status (*buffer_alloc)(fovea_device* device, uint64_t bytes, fovea_buffer** out);
  fovea_status (*buffer_free)(fovea_device* device, fovea_buffer* buffer);
  fovea_status (*buffer_host_ptr)(fovea_device* device, fovea_buffer* buffer, void** out);

  /* Order and transfers (optional where the backend is synchronous). */
  fovea_status (*queue_create)(fovea_device* device, fovea_queue** out);
  fovea_status (*queue_destroy)(fovea_queue* queue);
  fovea_status (*queue_sync)(fovea_queue* queue);
  fovea_status (*event_create)(fovea_device* device, fovea_event** out);
  fovea_status (*event_record)(fovea_event* event, fovea_queue* queue);
  fovea_status (*event_wait)(fovea_event* event, fovea_queue* queue);
  fovea_status (*event_destroy)(fovea_event* event);
  fovea_status (*copy)(fovea_queue* queue, fovea_ref to, fovea_ref from, uint64_t bytes, int32_t direction);
  fovea_status (*fill)(fovea_queue* queue, fovea_ref to, uint64_t bytes, uint8_t value);

  /* Ops. op_query is pure, thread-safe and works without hardware. */
  fovea_status (*op_query)(fovea_device* device, const fovea_op* op, fovea_support* out);
  fovea_status (*op_prepare)(fovea_device* device, const fovea_op* op, fovea_prepared** out);
  /* Bytes of scratch memory a launch needs. */
  fovea_status (*op_workspace)(fovea_prepared* prepared, uint64_t* bytes);
  fovea_status (*op_launch)(fovea_queue* queue, fovea_prepared* prepared,
                            const fovea_launch* launch); /* [any thread] */
  fovea_status (*op_release)(fovea_prepared* prepared);
} fovea_plugin_table;

/* The one exported symbol: the table, or NULL where this ABI is not spoken. */
typedef const fovea_plugin_table* (*fovea_plugin_fn)(const fovea_host* host, int32_t abi_major,
                                                     int32_t abi_minor);

#ifdef __cplusplus
}
#endif
#endif
