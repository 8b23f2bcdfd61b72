import Architectures
import Checkpoints
import ProgramEntry
import Quantization
import Tensors
import Weights

extension ExitStatus {
    /// What an error of opening a model, or of planning for it, calls for; nil for other errors.
    public init?(modelError error: any Error) {
        switch error {
        case let error as RunError: self = error.status
        case let error as CheckpointError: self = error.isMissingInput ? .missingInput : .badInput
        case is ConfigurationError, is PlanError, is ModelError, is QuantizationError, is MemoryError: self = .badInput
        default: return nil
        }
    }
}
