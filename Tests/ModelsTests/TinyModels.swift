import Architectures
import Foundation
import Models
import Quantization
import Tensors
import Weights

/// A model that a test can run.
protocol RunModel: Sendable, CustomStringConvertible {
    /// Opens the model: its configuration, the names of its tensors and its weights.
    func open() throws -> (decoder: DecoderConfiguration, names: TensorNames, weights: any WeightSource)
}

/// A model whose configuration has a few lines and awkward shapes, with weights generated from a seed.
struct TinyModel: RunModel {
    let name: String
    let json: String

    var description: String { name }

    func open() throws -> (decoder: DecoderConfiguration, names: TensorNames, weights: any WeightSource) {
        let model = try ModelDescription(ConfigurationFile(data: Data(json.utf8), path: name))
        return (model.decoder, model.names, SyntheticWeights(seed: 7, names: model.names, decoder: model.decoder))
    }

    /// Models with every kind of layer, and with shapes that are hard to shard.
    static let all: [TinyModel] = [
        TinyModel(
            name: "llama",
            json: """
                {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 8,
                 "num_key_value_heads": 4, "intermediate_size": 176, "vocab_size": 101, "max_position_embeddings": 512}
                """),
        TinyModel(
            name: "llama with biases, tied",
            json: """
                {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8, "head_dim": 12,
                 "num_key_value_heads": 8, "intermediate_size": 256, "vocab_size": 64, "max_position_embeddings": 512,
                 "attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true}
                """),
        TinyModel(
            name: "llama with six heads",
            json: """
                {"model_type": "llama", "hidden_size": 48, "num_hidden_layers": 5, "num_attention_heads": 6, "head_dim": 12,
                 "num_key_value_heads": 3, "intermediate_size": 136, "vocab_size": 77, "max_position_embeddings": 512}
                """),
        TinyModel(
            name: "mistral",
            json: """
                {"model_type": "mistral", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 8,
                 "num_key_value_heads": 2, "intermediate_size": 176, "vocab_size": 101, "max_position_embeddings": 512,
                 "sliding_window": 7}
                """),
        TinyModel(
            name: "qwen2",
            json: """
                {"model_type": "qwen2", "hidden_size": 112, "num_hidden_layers": 3, "num_attention_heads": 14,
                 "num_key_value_heads": 2, "intermediate_size": 152, "vocab_size": 101, "max_position_embeddings": 512,
                 "tie_word_embeddings": true}
                """),
        TinyModel(
            name: "qwen3",
            json: """
                {"model_type": "qwen3", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 8, "head_dim": 12,
                 "num_key_value_heads": 2, "intermediate_size": 152, "vocab_size": 101, "max_position_embeddings": 512}
                """),
        TinyModel(
            name: "gemma2",
            json: """
                {"model_type": "gemma2", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 8, "head_dim": 24,
                 "num_key_value_heads": 4, "intermediate_size": 136, "vocab_size": 101, "max_position_embeddings": 512,
                 "sliding_window": 9}
                """),
        TinyModel(
            name: "gemma3",
            json: """
                {"model_type": "gemma3_text", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 8,
                 "head_dim": 16, "num_key_value_heads": 4, "intermediate_size": 136, "vocab_size": 101,
                 "sliding_window": 9, "sliding_window_pattern": 2}
                """),
        TinyModel(
            name: "gptneox",
            json: """
                {"model_type": "gpt_neox", "hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 8,
                 "intermediate_size": 200, "vocab_size": 101, "max_position_embeddings": 512, "rotary_pct": 0.5}
                """),
        TinyModel(
            name: "gptj",
            json: """
                {"model_type": "gptj", "n_embd": 96, "n_layer": 3, "n_head": 8, "rotary_dim": 6, "n_inner": 200,
                 "vocab_size": 101, "n_positions": 512}
                """),
        TinyModel(
            name: "gpt2",
            json: """
                {"model_type": "gpt2", "n_embd": 96, "n_layer": 3, "n_head": 8, "vocab_size": 101, "n_positions": 512}
                """),
        TinyModel(
            name: "mpt",
            json: """
                {"model_type": "mpt", "d_model": 120, "n_layers": 3, "n_heads": 10, "vocab_size": 101, "max_seq_len": 512,
                 "attn_config": {"clip_qkv": 1.5}}
                """),
        TinyModel(
            name: "falcon",
            json: """
                {"model_type": "falcon", "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 8,
                 "vocab_size": 101, "new_decoder_architecture": true, "num_kv_heads": 2}
                """),
    ]
}

/// The storage formats in which tests run the models.
enum TinyFormat: String, CaseIterable, Sendable {
    case float32
    case bfloat16
    case float16
    case int8
    case int4
    case int4Asymmetric
    case int8Channel

    func options() throws -> WeightOptions {
        func quantized(_ bits: Int, _ granularity: IntegerScheme.Granularity, symmetric: Bool = true) throws
            -> WeightOptions
        {
            let scheme = try IntegerScheme(bits: bits, granularity: granularity, isSymmetric: symmetric)
            return WeightOptions(quantization: .scheme(scheme), head: .sameAsLayers)
        }
        return switch self {
        case .float32: WeightOptions(floatType: .float32)
        case .bfloat16: WeightOptions(floatType: .bfloat16)
        case .float16: WeightOptions(floatType: .float16)
        case .int8: try quantized(8, .group(32))
        case .int4: try quantized(4, .group(32))
        case .int4Asymmetric: try quantized(4, .group(16), symmetric: false)
        case .int8Channel: try quantized(8, .channel)
        }
    }

    var isQuantized: Bool { [.int8, .int4, .int4Asymmetric, .int8Channel].contains(self) }
}
