import Collectives
import Engine
import ModelOptions
import ProgramEntry
import Sampling
import Tokenization

extension ExitStatus {
    /// Makes the exit status that an error calls for.
    public init(_ error: any Error) {
        if let status = ExitStatus(modelError: error) {
            self = status
            return
        }
        self =
            switch error {
            case let error as TokenizationError: error.isMissingInput ? .missingInput : .badInput
            case is SamplingError: .usage
            case is RequestError, is LogitsNotFinite: .badInput
            case let error as AgreedError: ExitStatus(rawValue: error.status) ?? .defect
            case is CommunicationError: .lostRank
            case is LoadingInterrupted: .interrupted
            case is MemoryRefusal: .badInput
            default: .defect
            }
    }
}
