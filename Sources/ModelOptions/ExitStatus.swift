import Architectures
import Checkpoints
import ProgramEntry
import Quantization
import Tensors
import Weights

extension ExitStatus {
    /// The exit status for an error in opening a model or planning for it; nil for other errors.
    public init?(modelError error: any Error) {
        switch error {
        case let error as RunError: self = error.status
        case let error as CheckpointError: self = error.isMissingInput ? .missingInput : .badInput
        case is ConfigurationError, is PlanError, is ModelError, is QuantizationError, is MemoryError: self = .badInput
        default: return nil
        }
    }
}
