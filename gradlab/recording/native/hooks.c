/* The hooks that PyTorch calls most, as Python types: no bytecode between a tensor and its kernel.
 *
 * They ask tensors what Python would ask them, by name, so that nothing of PyTorch's own binary interface is needed; of
 * Python's it is the stable one. What is not a plain dense tensor, or comes at an unusual moment, is handed on to the
 * recorder's own methods, which do the same for anything. `kernels.c` is compiled in.
 */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <structmember.h>

#include "kernels.c"

#if defined(_WIN32)
#include <windows.h>
static double now(void) {
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    return (double)count.QuadPart / (double)frequency.QuadPart;
}
#else
#include <time.h>
static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}
#endif

enum { FLOAT32, FLOAT64, FORMATS };
enum { ROW = 8, DELTA = 6 }; /* slots of a call's row, and which of them is Σ δ² */

/* What `prepare` is given, and the names by which tensors are asked. */
static PyObject *tensor_type, *parameter_type, *formats[FORMATS], *ordered_dict, *current_pass, *is_grad_enabled, *nothing;
static PyObject *no_hook, *no_size, *key;
static PyObject *s_dtype, *s_is_cpu, *s_grad, *s_grad_fn, *s_training, *s_backward_hooks, *s_register_hook_dict;
static PyObject *is_contiguous, *numel, *data_ptr; /* methods, still to be bound */
static PyObject *state_type, *delta_type;

/* ------------------------------------------------------------------------------------------------ asking a tensor */

typedef struct {
    const void *data;
    long long size;
    int format;
} Dense;

/* Consumes an answer; an error counts as no. */
static int is_true(PyObject *answer) {
    const int truth = answer == Py_True;
    if (answer == NULL) PyErr_Clear();
    Py_XDECREF(answer);
    return truth;
}

static int is_number(PyObject *answer, long long *number) {
    *number = answer == NULL ? -1 : PyLong_AsLongLong(answer);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        *number = -1;
    }
    Py_XDECREF(answer);
    return *number > 0;
}

static PyObject *ask(PyObject *x, PyObject *method) { return PyObject_CallFunctionObjArgs(method, x, NULL); }

/* Whether an object is a tensor in main memory, of a format with kernels, whose entries can be read as a vector. */
static int is_dense(PyObject *x, Dense *found) {
    long long address;
    if ((PyObject *)Py_TYPE(x) != tensor_type && (PyObject *)Py_TYPE(x) != parameter_type) return 0;
    PyObject *dtype = PyObject_GetAttr(x, s_dtype);
    if (dtype == NULL) PyErr_Clear();
    found->format = dtype == formats[FLOAT32] ? FLOAT32 : dtype == formats[FLOAT64] ? FLOAT64 : FORMATS;
    Py_XDECREF(dtype);
    if (found->format == FORMATS || !is_true(PyObject_GetAttr(x, s_is_cpu))) return 0;
    if (!is_true(ask(x, is_contiguous)) || !is_number(ask(x, numel), &found->size)) return 0;
    if (!is_number(ask(x, data_ptr), &address)) return 0;
    found->data = (const void *)(intptr_t)address;
    return 1;
}

static void sum_of_squares(const Dense *x, double *slot) {
    if (x->format == FLOAT32)
        float32_sum_of_squares(x->data, x->size, slot);
    else
        float64_sum_of_squares(x->data, x->size, slot);
}

static long long pass_number(void) {
    PyObject *number = PyObject_CallNoArgs(current_pass);
    const long long pass = number == NULL ? -2 : PyLong_AsLongLong(number);
    if (PyErr_Occurred()) PyErr_Clear();
    Py_XDECREF(number);
    return pass;
}

/* ------------------------------------------------------------------------------- State: what the hooks need to know */

typedef struct {
    PyObject_HEAD
    char open, undecided;
    long long step, backward_pass, base, rows;
    double seconds;
} State;

static PyMemberDef state_members[] = {
    {"open", T_BOOL, offsetof(State, open), 0, NULL},
    {"undecided", T_BOOL, offsetof(State, undecided), 0, NULL},
    {"step", T_LONGLONG, offsetof(State, step), 0, NULL},
    {"backward_pass", T_LONGLONG, offsetof(State, backward_pass), 0, NULL},
    {"base", T_LONGLONG, offsetof(State, base), 0, NULL},
    {"rows", T_LONGLONG, offsetof(State, rows), 0, NULL},
    {"seconds", T_DOUBLE, offsetof(State, seconds), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static void plain_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyType_Slot state_slots[] = {
    {Py_tp_doc, "See `gradlab.recording.state.State`."},
    {Py_tp_members, state_members},
    {Py_tp_dealloc, plain_dealloc},
    {0, NULL},
};
static PyType_Spec state_spec = {"gradlab.recording.native.hooks.State", sizeof(State), 0, Py_TPFLAGS_DEFAULT, state_slots};

/* -------------------------------------------------------------------- Output: a forward hook; Delta: what it leaves */

typedef struct {
    PyObject_HEAD
    State *state;
    PyObject *owner, *calls, *sizes;                    /* whose rows, and what is known of them besides */
    PyObject *describe, *on_output, *on_delta, *on_any; /* what does the rest; see `recording/state.py` */
    PyObject *known;                                    /* the description of the last call */
    PyObject *hooks[2];                                 /* what the last two outputs were left */
    Dense known_output;
    long long known_entered;
    long long edges[FORMATS], intervals; /* of saturation; −1 intervals where that has no meaning */
    char ready;
} Output;

typedef struct {
    PyObject_HEAD
    Output *output;
    long long row, step;
} Delta;

static int output_traverse(Output *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->owner);
    Py_VISIT(self->calls);
    Py_VISIT(self->sizes);
    Py_VISIT(self->describe);
    Py_VISIT(self->on_output);
    Py_VISIT(self->on_delta);
    Py_VISIT(self->on_any);
    Py_VISIT(self->known);
    Py_VISIT(self->hooks[0]);
    Py_VISIT(self->hooks[1]);
    return 0;
}

/* Breaks cycles. State has none and stays, so that a hook that is called afterwards finds it. */
static int output_clear(Output *self) {
    Py_CLEAR(self->owner);
    Py_CLEAR(self->calls);
    Py_CLEAR(self->sizes);
    Py_CLEAR(self->describe);
    Py_CLEAR(self->on_output);
    Py_CLEAR(self->on_delta);
    Py_CLEAR(self->on_any);
    Py_CLEAR(self->known);
    Py_CLEAR(self->hooks[0]);
    Py_CLEAR(self->hooks[1]);
    return 0;
}

static void collected(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static void output_dealloc(Output *self) {
    PyObject_GC_UnTrack(self);
    output_clear(self);
    Py_CLEAR(self->state);
    collected((PyObject *)self);
}

static PyObject *output_new(PyTypeObject *type, PyObject *args, PyObject *options) {
    State *state;
    PyObject *owner, *describe, *on_output, *on_delta, *on_any;
    long long edges[FORMATS], intervals;
    int ready;
    if (!PyArg_ParseTuple(args, "O!OOOOO(LLL)p", state_type, &state, &owner, &describe, &on_output, &on_delta, &on_any,
                          &edges[FLOAT32], &edges[FLOAT64], &intervals, &ready))
        return NULL;
    Output *self = (Output *)PyType_GenericAlloc(type, 0);
    if (self == NULL) return NULL;
    self->state = (State *)Py_NewRef((PyObject *)state);
    self->owner = Py_NewRef(owner);
    self->calls = PyObject_GetAttrString(owner, "calls");
    self->sizes = PyObject_GetAttrString(owner, "delta_sizes");
    self->describe = Py_NewRef(describe);
    self->on_output = Py_NewRef(on_output);
    self->on_delta = Py_NewRef(on_delta);
    self->on_any = Py_NewRef(on_any);
    memcpy(self->edges, edges, sizeof edges);
    self->intervals = intervals;
    self->ready = (char)ready;
    if (self->calls == NULL || self->sizes == NULL || !PyList_Check(self->calls) || !PyList_Check(self->sizes)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "calls and delta_sizes are lists");
        Py_CLEAR(self);
    }
    return (PyObject *)self;
}

/* Write the row of an output; false where it cannot be done here, and nothing has been done. */
static int write_row(const Output *self, const Dense *x, PyObject *inputs, long long row, long long *entered) {
    double *slots = (double *)(intptr_t)self->state->base + row * ROW;
    *entered = 0;
    if (self->intervals < 0) {
        if (x->format == FLOAT32)
            float32_output(x->data, x->size, slots);
        else
            float64_output(x->data, x->size, slots);
        return 1;
    }
    Dense h;
    PyObject *first = PyTuple_Check(inputs) && PyTuple_Size(inputs) > 0 ? PyTuple_GetItem(inputs, 0) : NULL;
    if (first == NULL || !is_dense(first, &h) || h.format != x->format) return 0;
    const void *edges = (const void *)(intptr_t)self->edges[h.format];
    if (x->format == FLOAT32)
        float32_activation(x->data, x->size, h.data, h.size, edges, self->intervals, slots);
    else
        float64_activation(x->data, x->size, h.data, h.size, edges, self->intervals, slots);
    *entered = h.size;
    return 1;
}

/* Append what is known of a call besides its row. */
static int note_call(Output *self, const Dense *x, long long entered) {
    const Dense *last = &self->known_output;
    if (!self->known || last->size != x->size || last->format != x->format || self->known_entered != entered) {
        PyObject *known = PyObject_CallFunction(self->describe, "LLO", x->size, entered, formats[x->format]);
        if (known == NULL) return 0;
        Py_XDECREF(self->known);
        self->known = known;
        self->known_output = *x;
        self->known_entered = entered;
    }
    return PyList_Append(self->calls, self->known) == 0 && PyList_Append(self->sizes, no_size) == 0;
}

/* The Delta in hooks that may be given away again: the tensor that had them is gone, and nobody has added to them. */
static Delta *free_delta(PyObject *hooks) {
    if (hooks == NULL || Py_REFCNT(hooks) != 1 || PyDict_Size(hooks) != 1) return NULL;
    PyObject *delta = PyDict_GetItemWithError(hooks, key);
    return delta != NULL && Py_REFCNT(delta) == 1 ? (Delta *)delta : NULL;
}

/* Hooks for a tensor, with a Delta in them. Those of two outputs are kept: while an output is being made, the last one is
 * often still there, in the graph of a loss that the loop has not let go of. */
static PyObject *hooks_for(Output *self, long long row) {
    for (int k = 0; k < 2; k++) {
        Delta *delta = free_delta(self->hooks[k]);
        if (delta == NULL) continue;
        delta->row = row;
        delta->step = self->state->step;
        return Py_NewRef(self->hooks[k]);
    }
    Delta *delta = (Delta *)PyType_GenericAlloc((PyTypeObject *)delta_type, 0);
    if (delta == NULL) return NULL;
    delta->output = (Output *)Py_NewRef((PyObject *)self);
    delta->row = row;
    delta->step = self->state->step;
    PyObject *hooks = PyObject_CallNoArgs(ordered_dict);
    if (hooks != NULL && PyObject_SetItem(hooks, key, (PyObject *)delta) < 0) Py_CLEAR(hooks);
    Py_DECREF((PyObject *)delta);
    if (hooks != NULL) {
        Py_XDECREF(self->hooks[0]);
        self->hooks[0] = self->hooks[1];
        self->hooks[1] = Py_NewRef(hooks);
    }
    return hooks;
}

/* `Tensor.register_hook`, without the handle that would remove the hook again. */
static int leave_delta(Output *self, PyObject *x, PyObject *node, long long row) {
    PyObject *hooks = hooks_for(self, row), *done = NULL;
    if (hooks != NULL && PyObject_SetAttr(x, s_backward_hooks, hooks) == 0)
        done = PyObject_CallMethodObjArgs(node, s_register_hook_dict, x, NULL);
    Py_XDECREF(hooks);
    Py_XDECREF(done);
    return done != NULL;
}

/* What is done with an output: 1 recorded, 0 nothing yet, −1 an error. */
static int take(Output *self, PyObject *module, PyObject *inputs, PyObject *x) {
    State *state = self->state;
    Dense dense;
    long long entered;
    if (!state->open || !self->ready || !is_true(PyObject_GetAttr(module, s_training))) return 0;
    if (!is_true(PyObject_CallNoArgs(is_grad_enabled)) || pass_number() != -1 || !is_dense(x, &dense)) return 0;
    PyObject *node = PyObject_GetAttr(x, s_grad_fn), *hooks = PyObject_GetAttr(x, s_backward_hooks);
    const int unusual = node == NULL || node == Py_None || hooks != Py_None;
    PyErr_Clear();
    Py_XDECREF(hooks);
    const long long row = PyList_Size(self->calls);
    if (unusual || row >= state->rows || !write_row(self, &dense, inputs, row, &entered)) {
        Py_XDECREF(node);
        return 0;
    }
    int done = note_call(self, &dense, entered) ? 1 : -1;
    if (done == 1 && state->undecided) {
        PyObject *noted = PyObject_CallFunctionObjArgs(self->on_any, x, NULL);
        if (noted == NULL) done = -1;
        Py_XDECREF(noted);
    }
    if (done == 1 && !leave_delta(self, x, node, row)) done = -1;
    Py_DECREF(node);
    return done;
}

static PyObject *output_call(Output *self, PyObject *args, PyObject *options) {
    const double start = now();
    if (self->owner == NULL) Py_RETURN_NONE; /* the garbage collector has been here */
    if (PyTuple_Size(args) != 3) return PyObject_Call(self->on_output, args, options);
    Py_INCREF((PyObject *)self); /* whoever is called may remove this hook */
    PyObject *result = NULL;
    const int done = take(self, PyTuple_GetItem(args, 0), PyTuple_GetItem(args, 1), PyTuple_GetItem(args, 2));
    if (done == 0) {
        result = PyObject_Call(self->on_output, args, options);
    } else if (done == 1) {
        self->state->seconds += now() - start;
        result = Py_NewRef(Py_None);
    }
    Py_DECREF((PyObject *)self);
    return result;
}

static PyObject *hand_on(Output *output, long long row, long long step, PyObject *x) {
    Py_INCREF((PyObject *)output); /* whoever is called may remove what refers to it */
    PyObject *result = PyObject_CallFunction(output->on_delta, "OLLO", output->owner, row, step, x);
    Py_DECREF((PyObject *)output);
    return result;
}

static PyObject *delta_call(Delta *self, PyObject *args, PyObject *options) {
    const double start = now();
    Output *output = self->output;
    if (output == NULL || output->owner == NULL || PyTuple_Size(args) != 1) Py_RETURN_NONE;
    State *state = output->state;
    PyObject *x = PyTuple_GetItem(args, 0);
    Dense dense;
    if (!state->open || self->step != state->step || self->row >= PyList_Size(output->calls) ||
        pass_number() != state->backward_pass || !is_dense(x, &dense))
        return hand_on(output, self->row, self->step, x);
    sum_of_squares(&dense, (double *)(intptr_t)state->base + self->row * ROW + DELTA);
    PyObject *size = PyLong_FromLongLong(dense.size);
    if (size == NULL || PyList_SetItem(output->sizes, (Py_ssize_t)self->row, size) < 0) return NULL;
    state->seconds += now() - start;
    Py_RETURN_NONE;
}

static int delta_traverse(Delta *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->output);
    return 0;
}

static int delta_clear(Delta *self) {
    Py_CLEAR(self->output);
    return 0;
}

static void delta_dealloc(Delta *self) {
    PyObject_GC_UnTrack(self);
    delta_clear(self);
    collected((PyObject *)self);
}

/* A copy of a hook is a hook that does nothing, and so is one from a file. */
static PyObject *deepcopy(PyObject *self, PyObject *memo) { return Py_NewRef(nothing); }
static PyObject *reduce(PyObject *self, PyObject *unused) { return Py_BuildValue("(O())", no_hook); }

static PyMethodDef hook_methods[] = {
    {"__deepcopy__", deepcopy, METH_O, NULL},
    {"__reduce__", reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyMemberDef output_members[] = {{"ready", T_BOOL, offsetof(Output, ready), 0, NULL}, {NULL, 0, 0, 0, NULL}};
static PyType_Slot output_slots[] = {
    {Py_tp_doc, "A forward hook; see `gradlab.recording.state`."},
    {Py_tp_new, output_new},
    {Py_tp_call, output_call},
    {Py_tp_traverse, output_traverse},
    {Py_tp_clear, output_clear},
    {Py_tp_dealloc, output_dealloc},
    {Py_tp_methods, hook_methods},
    {Py_tp_members, output_members},
    {0, NULL},
};
static PyType_Slot delta_slots[] = {
    {Py_tp_doc, "A hook of an output's gradient."},
    {Py_tp_call, delta_call},
    {Py_tp_traverse, delta_traverse},
    {Py_tp_clear, delta_clear},
    {Py_tp_dealloc, delta_dealloc},
    {Py_tp_methods, hook_methods},
    {0, NULL},
};
static PyType_Spec output_spec = {"gradlab.recording.native.hooks.Output", sizeof(Output), 0,
                                  Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, output_slots};
static PyType_Spec delta_spec = {"gradlab.recording.native.hooks.Delta", sizeof(Delta), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                 delta_slots};

/* ------------------------------------------------------------- Gradient: a hook of a large parameter, called when its
 * gradient is there and still in the cache */

typedef struct {
    PyObject_HEAD
    State *state;
    PyObject *on_gradient, *owner; /* what does the rest, and whoever keeps slot and flag where they are */
    long long slot, flag;
} Gradient;

static int gradient_traverse(Gradient *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE((PyObject *)self));
    Py_VISIT(self->on_gradient);
    Py_VISIT(self->owner);
    return 0;
}

static int gradient_clear(Gradient *self) {
    Py_CLEAR(self->on_gradient);
    Py_CLEAR(self->owner);
    return 0;
}

static void gradient_dealloc(Gradient *self) {
    PyObject_GC_UnTrack(self);
    gradient_clear(self);
    Py_CLEAR(self->state);
    collected((PyObject *)self);
}

static PyObject *gradient_new(PyTypeObject *type, PyObject *args, PyObject *options) {
    PyObject *state, *on_gradient, *owner;
    long long slot, flag;
    if (!PyArg_ParseTuple(args, "O!OOLL", state_type, &state, &on_gradient, &owner, &slot, &flag)) return NULL;
    Gradient *self = (Gradient *)PyType_GenericAlloc(type, 0);
    if (self == NULL) return NULL;
    self->state = (State *)Py_NewRef(state);
    self->on_gradient = Py_NewRef(on_gradient);
    self->owner = Py_NewRef(owner);
    self->slot = slot;
    self->flag = flag;
    return (PyObject *)self;
}

static PyObject *gradient_call(Gradient *self, PyObject *args, PyObject *options) {
    const double start = now();
    if (self->owner == NULL) Py_RETURN_NONE; /* the garbage collector has been here */
    PyObject *gradient = NULL, *result = NULL;
    Dense dense;
    if (self->state->open && PyTuple_Size(args) == 1) {
        gradient = PyObject_GetAttr(PyTuple_GetItem(args, 0), s_grad);
        if (gradient == NULL) return NULL;
    }
    if (gradient != NULL && is_dense(gradient, &dense)) {
        sum_of_squares(&dense, (double *)(intptr_t)self->slot);
        *(char *)(intptr_t)self->flag = 1;
        self->state->seconds += now() - start;
        result = Py_NewRef(Py_None);
    } else {
        Py_INCREF((PyObject *)self);
        result = PyObject_Call(self->on_gradient, args, options);
        Py_DECREF((PyObject *)self);
    }
    Py_XDECREF(gradient);
    return result;
}

static PyType_Slot gradient_slots[] = {
    {Py_tp_doc, "A hook of a parameter whose gradient is there."},
    {Py_tp_new, gradient_new},
    {Py_tp_call, gradient_call},
    {Py_tp_traverse, gradient_traverse},
    {Py_tp_clear, gradient_clear},
    {Py_tp_dealloc, gradient_dealloc},
    {Py_tp_methods, hook_methods},
    {0, NULL},
};
static PyType_Spec gradient_spec = {"gradlab.recording.native.hooks.Gradient", sizeof(Gradient), 0,
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, gradient_slots};

/* ------------------------------------------------------------------------------------------- many parameters at once */

/* gradients(parameters, indices, slots, flags): Σ g² of some parameters into every third slot, and a flag for each.
 * Returns the indices of those whose gradient is out of the ordinary; those without one are passed over. */
static PyObject *gradients(PyObject *module, PyObject *args) {
    PyObject *parameters, *indices;
    long long slots, flags;
    if (!PyArg_ParseTuple(args, "O!O!LL", &PyList_Type, &parameters, &PyTuple_Type, &indices, &slots, &flags)) return NULL;
    PyObject *left = PyList_New(0);
    for (Py_ssize_t k = 0; left != NULL && k < PyTuple_Size(indices); k++) {
        PyObject *number = PyTuple_GetItem(indices, k);
        const Py_ssize_t index = PyLong_AsSsize_t(number);
        PyObject *parameter = PyList_GetItem(parameters, index); /* also refuses what is no index */
        PyObject *gradient = parameter == NULL ? NULL : PyObject_GetAttr(parameter, s_grad);
        Dense dense;
        int failed = gradient == NULL;
        if (!failed && gradient != Py_None) {
            if (is_dense(gradient, &dense)) {
                sum_of_squares(&dense, (double *)(intptr_t)slots + 3 * index);
                ((char *)(intptr_t)flags)[index] = 1;
            } else {
                failed = PyList_Append(left, number) < 0;
            }
        }
        Py_XDECREF(gradient);
        if (failed) Py_CLEAR(left);
    }
    return left;
}

/* starts(parameters, indices, dtype, sizes, addresses): write where the entries of some parameters lie.
 * False where one of them is no longer dense, of this format and of its size; one that lies where it lay is. */
static PyObject *starts(PyObject *module, PyObject *args) {
    PyObject *parameters, *indices, *dtype;
    long long sizes, addresses, address, entries;
    if (!PyArg_ParseTuple(args, "O!O!OLL", &PyList_Type, &parameters, &PyTuple_Type, &indices, &dtype, &sizes, &addresses))
        return NULL;
    for (Py_ssize_t k = 0; k < PyTuple_Size(indices); k++) {
        const int64_t size = ((const int64_t *)(intptr_t)sizes)[k];
        int64_t *const last = (int64_t *)(intptr_t)addresses + k;
        PyObject *parameter = PyList_GetItem(parameters, PyLong_AsSsize_t(PyTuple_GetItem(indices, k)));
        Dense now;
        if (parameter == NULL) return NULL;
        if (is_number(ask(parameter, data_ptr), &address) && address == *last &&
            is_number(ask(parameter, numel), &entries) && entries == size)
            continue;
        if (!is_dense(parameter, &now) || formats[now.format] != dtype || now.size != size) Py_RETURN_FALSE;
        *last = address;
    }
    Py_RETURN_TRUE;
}

/* -------------------------------------------------------------------------------------------------------- the module */

static PyObject *prepare(PyObject *module, PyObject *args) {
    if (!PyArg_ParseTuple(args, "OOOOOOOOO", &tensor_type, &parameter_type, &formats[FLOAT32], &formats[FLOAT64],
                          &ordered_dict, &current_pass, &is_grad_enabled, &nothing, &no_hook))
        return NULL;
    for (Py_ssize_t k = 0; k < PyTuple_Size(args); k++) Py_INCREF(PyTuple_GetItem(args, k));
    is_contiguous = PyObject_GetAttrString(tensor_type, "is_contiguous");
    numel = PyObject_GetAttrString(tensor_type, "numel");
    data_ptr = PyObject_GetAttrString(tensor_type, "data_ptr");
    if (is_contiguous == NULL || numel == NULL || data_ptr == NULL) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"prepare", prepare, METH_VARARGS, "What the hooks call: see `gradlab.recording.native`."},
    {"gradients", gradients, METH_VARARGS, "Sums of squares of gradients; see `Weights.gradients`."},
    {"starts", starts, METH_VARARGS, "Addresses of tensors; see `Weights`."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "hooks", NULL, -1, functions, NULL, NULL, NULL, NULL};

static int add_type(PyObject *module, const char *name, PyType_Spec *spec, PyObject **type) {
    PyObject *made = PyType_FromSpec(spec);
    if (made == NULL) return 0;
    if (type != NULL) *type = Py_NewRef(made);
    return PyModule_AddObject(module, name, made) == 0;
}

static int intern_names(void) {
    struct {
        PyObject **name;
        const char *text;
    } names[] = {
        {&s_dtype, "dtype"}, {&s_is_cpu, "is_cpu"}, {&s_grad, "grad"}, {&s_grad_fn, "grad_fn"}, {&s_training, "training"},
        {&s_backward_hooks, "_backward_hooks"}, {&s_register_hook_dict, "_register_hook_dict"},
    };
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        if ((*names[k].name = PyUnicode_InternFromString(names[k].text)) == NULL) return 0;
    }
    return (no_size = PyLong_FromLong(0)) && (key = PyLong_FromLong(-1));
}

EXPORT PyObject *PyInit_hooks(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || !intern_names() || !add_type(module, "State", &state_spec, &state_type) ||
        !add_type(module, "Output", &output_spec, NULL) || !add_type(module, "Gradient", &gradient_spec, NULL) || !add_type(module, "Delta", &delta_spec, &delta_type) ||
        PyObject_SetAttrString(delta_type, "__torch_unserializable__", Py_True) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
