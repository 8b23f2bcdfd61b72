const ck_kernels TABLE = {
    .name = TABLE_NAME,
    .rounds_inputs = ROUNDS_INPUTS,
    .matmul = matmul,
    .quantize = quantize,
    .round = round_inputs,
    .norm = norm,
    .add = add,
    .activate = activate,
    .store = store,
    .attend = attend,
    .read = read_memory,
    .peak = peak,
};
