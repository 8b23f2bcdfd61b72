// The table of one instruction set; the including file defines TABLE, TABLE_NAME and TABLE_LEVEL.
const ck_kernels TABLE = {
    .abi_version = CK_ABI_VERSION,
    .level = TABLE_LEVEL,
    .name = TABLE_NAME,
    .rounds_inputs = ROUNDS_INPUTS,
    .matmul = matmul,
    .quantize = quantize,
    .round = round_inputs,
    .norm = norm,
    .gate = gate,
    .store = store,
    .attend = attend,
    .read = read_memory,
    .peak = peak,
};
