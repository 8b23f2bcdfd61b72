import Collectives
import ModelOptions
import ProgramEntry
import Sampling
import Tokenization

extension ExitStatus {
    /// What an error calls for.
    public init(_ error: any Error) {
        if let status = ExitStatus(modelError: error) {
            self = status
            return
        }
        self =
            switch error {
            case let error as TokenizationError:
                switch error {
                case .missingFile, .unreadableFile: .missingInput
                default: .badInput
                }
            case is SamplingError: .usage
            case let error as AgreedError: ExitStatus(rawValue: error.status) ?? .defect
            case is CommunicationError: .lostRank
            case is CancellationError, is LoadingInterrupted: .interrupted
            case is MemoryRefusal: .badInput
            default: .defect
            }
    }
}
