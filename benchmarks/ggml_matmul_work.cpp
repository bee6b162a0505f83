// What core/examples/matmul_work.rs does, through ggml: a fixed amount of matrix products, for counting instructions.
//
// matmul_work plain|repacked FORMAT ROWS COLUMNS TOKENS ROUNDS: one thread; `repacked` stores the weights as llama.cpp
// does on load where it has kernels for them in another order.

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <strings.h>
#include <vector>

#include "ggml-alloc.h"
#include "ggml-backend.h"
#include "ggml-cpu.h"
#include "ggml.h"

static ggml_type type_named(const char * name) {
    for (int type = 0; type < GGML_TYPE_COUNT; type++) {
        const char * known = ggml_type_name((ggml_type) type);
        if (known && strcasecmp(known, name) == 0) {
            return (ggml_type) type;
        }
    }
    fprintf(stderr, "no format %s\n", name);
    exit(1);
}

// The first other memory whose kernels take these weights, or the plain one.
static ggml_backend_buffer_type_t memory_for(ggml_backend_t backend, ggml_tensor * weights, ggml_tensor * product) {
    ggml_backend_dev_t device = ggml_backend_get_device(backend);
    ggml_backend_reg_t registry = ggml_backend_dev_backend_reg(device);
    auto others = (ggml_backend_dev_get_extra_bufts_t) ggml_backend_reg_get_proc_address(
        registry, "ggml_backend_dev_get_extra_bufts");
    for (ggml_backend_buffer_type_t * other = others ? others(device) : nullptr; other && *other; other++) {
        weights->buffer = ggml_backend_buft_alloc_buffer(*other, 0);
        bool serves = ggml_backend_dev_supports_op(device, product);
        ggml_backend_buffer_free(weights->buffer);
        weights->buffer = nullptr;
        if (serves) {
            return *other;
        }
    }
    return ggml_backend_cpu_buffer_type();
}

int main(int count, char ** arguments) {
    if (count != 7) {
        fprintf(stderr, "plain|repacked FORMAT ROWS COLUMNS TOKENS ROUNDS\n");
        return 1;
    }
    bool repacked = strcmp(arguments[1], "repacked") == 0;
    ggml_type type = type_named(arguments[2]);
    int rows = atoi(arguments[3]), columns = atoi(arguments[4]), tokens = atoi(arguments[5]), rounds = atoi(arguments[6]);

    ggml_backend_t backend = ggml_backend_cpu_init();
    ggml_backend_cpu_set_n_threads(backend, 1);
    ggml_init_params size = { 1 << 20, nullptr, true };
    ggml_context * of_weights = ggml_init(size);
    ggml_context * of_tokens = ggml_init(size);
    ggml_tensor * weights = ggml_new_tensor_2d(of_weights, type, columns, rows);
    ggml_tensor * x = ggml_new_tensor_2d(of_tokens, GGML_TYPE_F32, columns, tokens);
    ggml_tensor * product = ggml_mul_mat(of_tokens, weights, x);

    ggml_backend_buffer_type_t plain = ggml_backend_cpu_buffer_type();
    ggml_backend_alloc_ctx_tensors_from_buft(of_weights, repacked ? memory_for(backend, weights, product) : plain);
    ggml_backend_alloc_ctx_tensors_from_buft(of_tokens, plain);
    std::vector<char> bytes(ggml_nbytes(weights), 0x3c);
    ggml_backend_tensor_set(weights, bytes.data(), 0, bytes.size());
    std::vector<float> values((size_t) columns * tokens);
    for (size_t i = 0; i < values.size(); i++) {
        values[i] = (float) (i % 255) - 127;
    }
    ggml_backend_tensor_set(x, values.data(), 0, values.size() * sizeof(float));

    ggml_cgraph * graph = ggml_new_graph(of_tokens);
    ggml_build_forward_expand(graph, product);
    for (int i = 0; i < rounds; i++) {
        ggml_backend_graph_compute(backend, graph);
    }
}
