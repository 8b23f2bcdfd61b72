import Foundation
import TestSupport
import Testing

/// Broken checkpoints are refused with one line that names the file and its fault.
@Suite(.serialized) struct BadCheckpointTests {
    /// A way to break a checkpoint, and the required message.
    struct Damage: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let refusal: @Sendable () -> Refusal
        let apply: @Sendable (TestCheckpoint) throws -> Void

        init(
            _ name: String, _ refusal: @autoclosure @escaping @Sendable () -> Refusal,
            _ apply: @escaping @Sendable (TestCheckpoint) throws -> Void
        ) {
            testDescription = name
            self.refusal = refusal
            self.apply = apply
        }
    }

    static let query = "model.layers.0.self_attn.q_proj.weight"
    static let up = "model.layers.1.mlp.up_proj.weight"

    static let weightDamages = [
        Damage("truncated", Refusal(65, naming: "model.safetensors", "cut short by 1000 bytes")) {
            try $0.write($0.data().dropLast(1000), to: "model.safetensors")
        },
        Damage("empty file", Refusal(65, naming: "model.safetensors")) {
            try $0.write(Data(), to: "model.safetensors")
        },
        Damage("header beyond the file", Refusal(65, naming: "model.safetensors", "cut short")) {
            var file = try $0.data()
            file.replaceSubrange(0..<8, with: [0, 0, 0x80, 0, 0, 0, 0, 0])
            try $0.write(file, to: "model.safetensors")
        },
        Damage("header of 2^63 bytes", Refusal(65, naming: "model.safetensors", "9223372036854775808")) {
            var file = try $0.data()
            file.replaceSubrange(0..<8, with: [0, 0, 0, 0, 0, 0, 0, 0x80])
            try $0.write(file, to: "model.safetensors")
        },
        Damage("header is no JSON", Refusal(65, naming: "model.safetensors", "JSON")) {
            try $0.write(TestCheckpoint.file(header: Data("{\"a\": }".utf8)), to: "model.safetensors")
        },
        Damage("header is a list", Refusal(65, naming: "model.safetensors", "object")) {
            try $0.write(TestCheckpoint.file(header: Data("[1, 2]".utf8)), to: "model.safetensors")
        },
        Damage("overlap", Refusal(65, naming: "model.safetensors", "overlaps")) {
            try $0.editHeader { $0.move(query, by: -2) }
        },
        Damage("offsets beyond the file", Refusal(65, naming: "model.safetensors", query)) {
            try $0.editHeader { $0.move(query, by: 1 << 40) }
        },
        Damage("offsets backwards", Refusal(65, naming: "model.safetensors", query, "[8, 0]")) {
            try $0.editHeader { $0[query]?["data_offsets"] = [8, 0] }
        },
        Damage("offsets below zero", Refusal(65, naming: "model.safetensors", query)) {
            try $0.editHeader { $0[query]?["data_offsets"] = [-8192, 0] }
        },
        Damage("bytes after the last tensor", Refusal(65, naming: "model.safetensors", "7 bytes")) {
            try $0.write($0.data() + Data(count: 7), to: "model.safetensors")
        },
        Damage("a tensor is missing", Refusal(65, naming: "model.layers.1.mlp.up_proj")) { try $0.removeTensor(up) },
        Damage("a norm is missing", Refusal(65, naming: "model.norm")) { try $0.removeTensor("model.norm.weight") },
        Damage("a tensor that no model has", Refusal(65, naming: "model.layers.1.mlp.other.weight")) {
            try $0.editHeader { $0["model.layers.1.mlp.other.weight"] = $0.removeValue(forKey: up) }
        },
        Damage("wrong shape", Refusal(65, naming: up, "model.safetensors", "[64, 176]", "[176, 64]")) {
            try $0.editHeader { $0[up]?["shape"] = [64, 176] }
        },
        Damage("wrong rank", Refusal(65, naming: up, "[11264]")) { try $0.editHeader { $0[up]?["shape"] = [11264] } },
        Damage("shape and size differ", Refusal(65, naming: up)) {
            try $0.editHeader { $0[up]?["shape"] = [176, 65] }
        },
        Damage("shape overflows", Refusal(65, naming: up)) {
            try $0.editHeader { $0[up]?["shape"] = [1 << 40, 1 << 40] }
        },
        Damage("unknown dtype", Refusal(65, naming: up, "F7")) { try $0.editHeader { $0[up]?["dtype"] = "F7" } },
        Damage("whole numbers as weights", Refusal(65, naming: up, "I16")) {
            try $0.editHeader { $0[up]?["dtype"] = "I16" }
        },
        Damage("no weights at all", Refusal(66, naming: "*.safetensors")) { try $0.remove("model.safetensors") },
        Damage("a folder in place of the file", Refusal(66, naming: "model.safetensors")) {
            try $0.remove("model.safetensors")
            try FileManager.default.createDirectory(
                atPath: "\($0.path)/model.safetensors", withIntermediateDirectories: false)
        },
        Damage("index names a missing shard", Refusal(66, naming: "model-00002-of-00002.safetensors")) {
            try $0.write(
                #"{"weight_map": {"\#(query)": "model.safetensors", "\#(up)": "model-00002-of-00002.safetensors"}}"#,
                to: "model.safetensors.index.json")
        },
        Damage("index names a link to nothing", Refusal(66, naming: "gone.safetensors", "symbolic link", "nonesuch")) {
            try $0.write(
                #"{"weight_map": {"\#(query)": "model.safetensors", "\#(up)": "gone.safetensors"}}"#,
                to: "model.safetensors.index.json")
            try FileManager.default.createSymbolicLink(
                atPath: "\($0.path)/gone.safetensors", withDestinationPath: "nonesuch")
        },
        Damage("index names a line break and commands", Refusal(66, naming: #"x\n\u{1B}[2J.safetensors"#)) {
            try $0.write(
                #"{"weight_map": {"a": "x\n\u001b[2J.safetensors", "b": "model.safetensors"}}"#,
                to: "model.safetensors.index.json")
        },
        Damage("a link to itself", Refusal(66, naming: "model.safetensors is a symbolic link to")) {
            try $0.remove("model.safetensors")
            try FileManager.default.createSymbolicLink(
                atPath: "\($0.path)/model.safetensors", withDestinationPath: "model.safetensors")
        },
        Damage("a pointer of Git LFS", Refusal(65, naming: "model.safetensors", "git lfs pull")) {
            try $0.write("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", to: "model.safetensors")
        },
        Damage("dtype with line breaks", Refusal(65, naming: #"unknown dtype "BF16\n\u{1B}""#)) {
            try $0.editHeader { $0[up]?["dtype"] = "BF16\n\u{1B}" }
        },
        Damage("a name of 100 kB", Refusal(65, naming: "model.layers.0.", "(100015 characters)")) {
            try $0.addTensor("model.layers.0." + String(repeating: "x", count: 100_000))
        },
        Damage("a bias that config.json does not have", Refusal(65, naming: "self_attn.o_proj.bias", "no place")) {
            try $0.addTensor("model.layers.2.self_attn.o_proj.bias", shape: [64])
        },
        Damage("a norm that the family does not have", Refusal(65, naming: "q_norm", "no place")) {
            try $0.addTensor("model.layers.0.self_attn.q_norm.weight", shape: [16])
        },
        Damage("another part of a matrix", Refusal(65, naming: "q_proj.weight_scale", "no place")) {
            try $0.addTensor("model.layers.0.self_attn.q_proj.weight_scale", shape: [64])
        },
        Damage("a bias of the head", Refusal(65, naming: "lm_head.bias", "no place")) {
            try $0.addTensor("lm_head.bias", shape: [256])
        },
        Damage("index leaves the folder", Refusal(65, naming: "model.safetensors.index.json")) {
            try $0.write(
                #"{"weight_map": {"\#(query)": "../../model.safetensors"}}"#, to: "model.safetensors.index.json")
        },
        Damage("index is no JSON", Refusal(65, naming: "model.safetensors.index.json")) {
            try $0.write("{", to: "model.safetensors.index.json")
        },
        Damage("a tensor in two files", Refusal(65, naming: "a.safetensors", "b.safetensors")) {
            try $0.write($0.data(), to: "a.safetensors")
            try $0.write($0.data(), to: "b.safetensors")
            try $0.remove("model.safetensors")
        },
    ]

    /// Damage that sets one key of config.json; nil removes the key.
    private static func key(_ key: String, _ value: (any Sendable)?, _ words: String...) -> Damage {
        Damage("\(key) \(value.map { "\($0)" } ?? "missing")", Refusal(65, naming: "config.json", key)) {
            try $0.edit { $0[key] = value }
        }
    }

    static let configurationDamages: [Damage] = [
        key("hidden_size", nil), key("num_hidden_layers", nil), key("num_attention_heads", nil), key("vocab_size", nil),
        key("intermediate_size", nil), key("model_type", nil), key("model_type", "nonesuch"), key("model_type", 7),
        key("hidden_size", -1), key("hidden_size", 0), key("hidden_size", 1_000_000_000_000), key("hidden_size", "64"),
        key("hidden_size", 64.5), key("num_hidden_layers", 0), key("num_hidden_layers", 1_000_000_000_000),
        key("num_attention_heads", 0), key("num_key_value_heads", 3), key("num_key_value_heads", 16),
        key("vocab_size", 0), key("vocab_size", 1_000_000_000_000), key("intermediate_size", -5),
        key("intermediate_size", 1_000_000_000_000), key("head_dim", 7), key("head_dim", 1_000_000_000_000),
        key("max_position_embeddings", 0), key("max_position_embeddings", 1_000_000_000_000_000),
        key("rms_norm_eps", -1),
        key("rms_norm_eps", "small"), key("hidden_act", "nonesuch"), key("rope_parameters", "none"),
        Damage("heads do not divide", Refusal(65, naming: "config.json", "hidden_size", "7 heads")) {
            try $0.edit {
                $0["num_attention_heads"] = 7
                $0["num_key_value_heads"] = 7
                $0["head_dim"] = nil
            }
        },
        Damage("rope_theta 0", Refusal(65, naming: "config.json", "rope_theta")) {
            try $0.edit { $0["rope_parameters"] = ["rope_theta": 0, "rope_type": "default"] }
        },
        Damage("unknown rope_type", Refusal(65, naming: "config.json", "rope_type")) {
            try $0.edit { $0["rope_parameters"] = ["rope_theta": 10000, "rope_type": "nonesuch"] }
        },
        Damage("rope factor missing", Refusal(65, naming: "config.json", "factor")) {
            try $0.edit { $0["rope_parameters"] = ["rope_theta": 10000, "rope_type": "linear"] }
        },
        Damage("rope factor without a type", Refusal(65, naming: "config.json", "rope_type", "factor")) {
            try $0.edit { $0["rope_parameters"] = ["rope_theta": 10000, "factor": 4] }
        },
        Damage("kinds of layers that differ in their rotation", Refusal(65, naming: "config.json", "rope_parameters")) {
            try $0.edit {
                $0["rope_parameters"] = [
                    "full_attention": ["rope_theta": 10000, "rope_type": "default"],
                    "sliding_attention": ["rope_theta": 10000, "rope_type": "linear", "factor": 2],
                ]
            }
        },
        Damage("an unknown kind of layer", Refusal(65, naming: "config.json", "layer_types", "\"ful_attention\"")) {
            try $0.edit { $0["layer_types"] = ["ful_attention", "full_attention", "full_attention"] }
        },
        key("bos_token_id", 9_999_999), key("eos_token_id", [2, 256] as [Int]),
        key("bos_token_id", -2), key("eos_token_id", "end"),
        Damage("an end beyond the vocabulary", Refusal(65, naming: "generation_config.json", "eos_token_id", "256")) {
            try $0.edit("generation_config.json") { $0["eos_token_id"] = 256 }
        },
        Damage("top_p 0", Refusal(65, naming: "generation_config.json", "top_p")) {
            try $0.edit("generation_config.json") { $0["top_p"] = 0 }
        },
        Damage("config.json is a pointer of Git LFS", Refusal(65, naming: "config.json", "git lfs pull")) {
            try $0.write("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", to: "config.json")
        },
        Damage("config.json leads nowhere", Refusal(66, naming: "config.json", "symbolic link", "nonesuch")) {
            try $0.remove("config.json")
            try FileManager.default.createSymbolicLink(
                atPath: "\($0.path)/config.json", withDestinationPath: "nonesuch")
        },
        Damage("more layers than weights", Refusal(65, naming: "model.layers.3.")) {
            try $0.edit { $0["num_hidden_layers"] = 4 }
        },
        Damage("another vocabulary", Refusal(65, naming: "model.safetensors", "[256, 64]", "[300, 64]")) {
            try $0.edit { $0["vocab_size"] = 300 }
        },
        Damage("another quantization method", Refusal(65, naming: "config.json", "nonesuch")) {
            try $0.edit { $0["quantization_config"] = ["quant_method": "nonesuch", "bits": 4] }
        },
        Damage("no config.json", Refusal(66, naming: "config.json")) { try $0.remove("config.json") },
        Damage("no JSON", Refusal(65, naming: "config.json")) {
            try $0.write("{\"hidden_size\": 64,", to: "config.json")
        },
        Damage("empty", Refusal(65, naming: "config.json")) { try $0.write("", to: "config.json") },
        Damage("a list", Refusal(65, naming: "config.json")) { try $0.write("[1, 2]", to: "config.json") },
        Damage("deeply nested", Refusal(65, naming: "config.json")) {
            try $0.write(String(repeating: "[", count: 100_000), to: "config.json")
        },
        Damage("generation_config.json is no JSON", Refusal(65, naming: "generation_config.json")) {
            try $0.write("nonsense", to: "generation_config.json")
        },
        Damage(
            "generation_config.json with a hot temperature",
            Refusal(65, naming: "generation_config.json", "temperature")
        ) {
            try $0.edit("generation_config.json") { $0["temperature"] = "hot" }
        },
    ]

    @Test(arguments: weightDamages + configurationDamages) func isRefused(damage: Damage) throws {
        let checkpoint = try TestCheckpoint()
        try damage.apply(checkpoint)
        try damage.refusal().expectGenerate(checkpoint.path)
    }

    /// There is only one line even if every rank finds the fault.
    @Test(arguments: ["truncated", "index names a missing shard", "hidden_size missing"])
    func isRefusedOnceByTwoRanks(name: String) throws {
        let damage = try #require((Self.weightDamages + Self.configurationDamages).first { $0.testDescription == name })
        let checkpoint = try TestCheckpoint()
        try damage.apply(checkpoint)
        try damage.refusal().expectGenerate(checkpoint.path, ranks: 2)
    }

    /// Every rank opens all weights, so a fault in a layer of the last stage is one line too.
    @Test func aFaultInOneStageIsOneLine() throws {
        let checkpoint = try TestCheckpoint()
        let name = "model.layers.2.mlp.up_proj.weight"
        try checkpoint.editHeader { $0[name]?["shape"] = [64, 176] }
        try Refusal(65, naming: name).expectGenerate(checkpoint.path, ["-tp", "1", "-pp", "2"], ranks: 2)
    }

    @Test func otherProgramsRefuseToo() throws {
        let checkpoint = try TestCheckpoint()
        try checkpoint.write(checkpoint.data().dropLast(10), to: "model.safetensors")
        let output = "\(checkpoint.path)-out"
        try Refusal(65, naming: "model.safetensors").expect(
            "quantize", ["--model", checkpoint.path, "--scheme", "int8", "--group-size", "8", "--output", output])
        #expect(!FileManager.default.fileExists(atPath: output))
        try Refusal(65, naming: "model.safetensors").expect(
            "evaluate", ["perplexity", "--model", checkpoint.path, "--text", "\(checkpoint.path)/config.json"])
        try Refusal(66, naming: checkpoint.path).expect("tokenize", ["--model", checkpoint.path, "--text", "a"])
    }

    /// A stored head must have the shape of a head even if the configuration ties it.
    @Test func aTiedHeadOfAnotherShapeIsRefused() throws {
        let checkpoint = try TestCheckpoint(copying: "llama-gqa-tied")
        try checkpoint.addTensor("lm_head.weight", shape: [3, 64])
        try Refusal(65, naming: "lm_head.weight", "[3, 64]", "[256, 64]").expectGenerate(checkpoint.path)
    }

    /// A path that is not UTF-8 is reported as such, because Swift's strings cannot hold its bytes.
    @Test func aPathThatIsNoTextIsCalledThat() throws {
        let name = "/nonesuch/\u{FFFD}"
        try Refusal(66, naming: "not UTF-8").expectGenerate(name)
        try Refusal(66, naming: "not UTF-8").expect("tokenize", ["--model", name, "--text", "a"])
        try Refusal(66, naming: "not UTF-8").expect("sizing", ["plan", "--model", name, "--memory", "1GiB"])
        try Refusal(66, naming: #"no\nsuch"#).expectGenerate("/no\nsuch")
    }

    @Test func aBrokenTokenizerIsRefused() throws {
        let checkpoint = try TestCheckpoint()
        try checkpoint.write(#"{"model": {"type": "nonesuch"}}"#, to: "tokenizer.json")
        try Refusal(65, naming: "tokenizer.json").expect(
            "generate", ["--model", checkpoint.path, "--prompt", "a", "--log-level", "error"])
        try Refusal(65, naming: "tokenizer.json").expect("tokenize", ["--model", checkpoint.path, "--text", "a"])
        let hostile = String(repeating: "x", count: 100_000)
        try checkpoint.write(#"{"model": {"type": "\n\u001b[2J\#(hostile)"}}"#, to: "tokenizer.json")
        try Refusal(65, naming: #"\n\u{1B}[2Jxxx"#, "characters").expect(
            "tokenize", ["--model", checkpoint.path, "--text", "a"])
        try checkpoint.write("version https://git-lfs.github.com/spec/v1\noid x\n", to: "tokenizer.json")
        try Refusal(65, naming: "tokenizer.json", "git lfs pull").expect(
            "tokenize", ["--model", checkpoint.path, "--text", "a"])
    }
}
