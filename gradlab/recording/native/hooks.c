/* The hooks that PyTorch calls most, as Python types: no bytecode between a tensor and its kernel.
 *
 * They ask tensors what Python would ask them, by name, so that nothing of PyTorch's own binary interface is needed; of
 * Python's it is the stable one. What is not a plain dense tensor, or comes at an unusual moment, is handed on to the
 * recorder's own methods, which do the same for anything. `kernels.c` is compiled in.
 */
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <string.h>
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

/* What `prepare` is given, and the names by which tensors are asked. */
static PyObject *tensor_type, *parameter_type, *formats[FORMATS], *ordered_dict, *current_pass, *is_grad_enabled, *nothing;
static PyObject *no_hook, *no_size, *key;
static PyObject *channels_last; /* as keyword arguments of is_contiguous */
static PyObject *s_dtype, *s_is_cpu, *s_grad, *s_grad_fn, *s_backward_hooks, *s_register_hook_dict;
static PyObject *is_contiguous, *numel, *data_ptr, *is_neg; /* methods, still to be bound */
static PyObject *fields_type, *current_type, *delta_type;

#include "tensors.inc"

#include "outputs.inc"

#include "parameters.inc"

static PyObject *prepare(PyObject *module, PyObject *args) {
    if (!PyArg_ParseTuple(args, "OOOOOOOOOOOO", &tensor_type, &parameter_type, &formats[FLOAT32], &formats[FLOAT64],
                          &ordered_dict, &current_pass, &is_grad_enabled, &nothing, &no_hook,
                          &s_backward_hooks, &s_register_hook_dict, &channels_last))
        return NULL;
    for (Py_ssize_t k = 0; k < PyTuple_Size(args); k++) Py_INCREF(PyTuple_GetItem(args, k));
    is_contiguous = PyObject_GetAttrString(tensor_type, "is_contiguous");
    numel = PyObject_GetAttrString(tensor_type, "numel");
    data_ptr = PyObject_GetAttrString(tensor_type, "data_ptr");
    is_neg = PyObject_GetAttrString(tensor_type, "is_neg");
    if (is_contiguous == NULL || numel == NULL || data_ptr == NULL || is_neg == NULL) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"prepare", prepare, METH_VARARGS, "What the hooks call: see `gradlab.recording.native`."},
    {"gradients", gradients, METH_VARARGS, "See `gradlab.recording.python_hooks`."},
    {"starts", starts, METH_VARARGS, "See `gradlab.recording.python_hooks`."},
    {"identities", identities, METH_VARARGS, "See `gradlab.recording.python_hooks`."},
    {"hold", hold, METH_VARARGS, "See `gradlab.recording.python_hooks`."},
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
        {&s_dtype, "dtype"}, {&s_is_cpu, "is_cpu"}, {&s_grad, "grad"}, {&s_grad_fn, "grad_fn"},
    };
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        if ((*names[k].name = PyUnicode_InternFromString(names[k].text)) == NULL) return 0;
    }
    return (no_size = PyLong_FromLong(0)) && (key = PyLong_FromLong(-1));
}

EXPORT PyObject *PyInit_hooks(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL || !intern_names() || !add_type(module, "Fields", &fields_spec, &fields_type) ||
        !add_type(module, "Current", &current_spec, &current_type) ||
        !add_type(module, "Output", &output_spec, NULL) || !add_type(module, "Gradient", &gradient_spec, NULL) || !add_type(module, "Delta", &delta_spec, &delta_type) ||
        PyObject_SetAttrString(delta_type, "__torch_unserializable__", Py_True) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
