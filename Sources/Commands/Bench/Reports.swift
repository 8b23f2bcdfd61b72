import Foundation
import Kernels

/// The machine and the commit that figures belong to.
struct MachineReport: Codable {
    let processor: String
    let processors: Int
    let kernels: String
    let commit: String

    init(kernels: String) {
        let information =
            FileManager.default.contents(atPath: "/proc/cpuinfo").map { String(decoding: $0, as: UTF8.self) } ?? ""
        let model = information.split(separator: "\n").first { $0.hasPrefix("model name") }
        processor = model?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown"
        processors = allowedProcessors().count
        self.kernels = kernels
        // `make bench` passes the commit; a program cannot know it.
        commit = ProcessInfo.processInfo.environment["TRIREME_COMMIT"] ?? "unknown"
    }
}

/// One run's figures: bandwidth and arithmetic next to the limits that the same run measured.
struct RunFigures: Codable {
    let machine: MachineReport
    let model: String
    let weights: String
    let ranks: Int
    let threads: Int
    let promptTokens: Int
    let newTokens: Int
    let decodeTokensPerSecond: Double
    let decodeGigabytesPerSecond: Double
    let readLimitGigabytesPerSecond: Double
    let prefillTokensPerSecond: Double
    let prefillGigaOperationsPerSecond: Double
    let arithmeticLimitGigaOperationsPerSecond: Double
    let waitMillisecondsPerToken: Double
    let transferMillisecondsPerToken: Double
    let peakResidentBytes: [Int]

    var bandwidthShare: Double { decodeGigabytesPerSecond / readLimitGigabytesPerSecond }
    var arithmeticShare: Double { prefillGigaOperationsPerSecond / arithmeticLimitGigaOperationsPerSecond }
    /// The key under which two runs are comparable.
    var key: String { "\(model) \(weights) \(ranks)x\(threads)" }

    enum CodingKeys: String, CodingKey {
        case machine
        case model
        case weights
        case ranks
        case threads
        case promptTokens = "prompt_tokens"
        case newTokens = "new_tokens"
        case decodeTokensPerSecond = "decode_tokens_per_s"
        case decodeGigabytesPerSecond = "decode_gb_per_s"
        case readLimitGigabytesPerSecond = "read_limit_gb_per_s"
        case prefillTokensPerSecond = "prefill_tokens_per_s"
        case prefillGigaOperationsPerSecond = "prefill_gop_per_s"
        case arithmeticLimitGigaOperationsPerSecond = "arithmetic_limit_gop_per_s"
        case waitMillisecondsPerToken = "wait_ms_per_token"
        case transferMillisecondsPerToken = "transfer_ms_per_token"
        case peakResidentBytes = "peak_rss_bytes"
    }

    static let header = columns([
        "weights", "ranks x thr", "decode t/s", "GB/s", "limit", "share", "prefill t/s", "Gop/s", "limit", "share",
        "wait ms", "transfer ms", "peak MiB",
    ])

    var row: String {
        columns([
            weights, "\(ranks) x \(threads)", rounded(decodeTokensPerSecond), rounded(decodeGigabytesPerSecond),
            rounded(readLimitGigabytesPerSecond), percent(bandwidthShare), rounded(prefillTokensPerSecond),
            rounded(prefillGigaOperationsPerSecond), rounded(arithmeticLimitGigaOperationsPerSecond),
            percent(arithmeticShare),
            rounded(waitMillisecondsPerToken, digits: 100), rounded(transferMillisecondsPerToken, digits: 100),
            peakResidentBytes.map { "\($0 >> 20)" }.joined(separator: "+"),
        ])
    }
}

func rounded(_ value: Double, digits: Double = 10) -> String { "\((value * digits).rounded() / digits)" }

func percent(_ value: Double) -> String { value.isFinite ? "\(Int((value * 100).rounded())) %" : "-" }

/// Formats the cells of a table row, right-aligned.
func columns(_ cells: [String]) -> String {
    cells.map { String(repeating: " ", count: max(1, 12 - $0.count)) + $0 }.joined()
}
