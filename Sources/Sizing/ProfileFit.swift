import Architectures
import Foundation
import Topology

/// A row of a table of measurements: a model, the fewest cards that run it, and the longest context on them.
public struct MeasuredRow: Equatable, Sendable {
    public let model: String
    /// The fewest cards; nil: the model does not run.
    public let cards: Int?
    public let length: Int?

    public init(model: String, cards: Int?, length: Int?) {
        (self.model, self.cards, self.length) = (model, cards, length)
    }
}

/// A table of the models that were found to run on cards of one size.
public struct MeasuredTable: Sendable {
    /// Gigabytes of a card, as sold.
    public let gigabytes: Double
    public let rows: [MeasuredRow]

    /// Reads tab-separated text whose header has the columns `model`, `cards_M` and `max_len_k_M`.
    ///
    /// M is the size of a card in gigabytes. Lengths are in K (1024 tokens); `-` means that the model does not run.
    ///
    /// - Parameter gigabytes: the M to read; nil: the first one.
    public init(_ text: String, path: String, gigabytes wanted: Double? = nil) throws(SizingError) {
        let lines = text.split(whereSeparator: \.isNewline).map {
            $0.split(separator: "\t", omittingEmptySubsequences: false)
        }
        guard let header = lines.first, let modelColumn = header.firstIndex(of: "model") else {
            throw .badTable(
                path: path,
                reason: "it must begin with a line that names the columns model, cards_32 and max_len_k_32, by tabs")
        }
        let sizes = header.compactMap { $0.hasPrefix("cards_") ? Double($0.dropFirst(6)) : nil }
        guard let size = wanted ?? sizes.first, size >= 0.01, size <= 1e6,
            let cardColumn = header.firstIndex(where: { $0.hasPrefix("cards_") && Double($0.dropFirst(6)) == size }),
            let lengthColumn = header.firstIndex(where: {
                $0.hasPrefix("max_len_k_") && Double($0.dropFirst(10)) == size
            })
        else {
            throw .badTable(path: path, reason: "it has no columns cards_M and max_len_k_M for a size of M gigabytes")
        }
        var rows: [MeasuredRow] = []
        for (number, line) in lines.enumerated().dropFirst() {
            guard line.count > max(modelColumn, cardColumn, lengthColumn) else {
                throw .badTable(path: path, reason: "line \(number + 1) has \(line.count) columns")
            }
            func value(_ column: Int) throws(SizingError) -> Int? {
                if line[column] == "-" { return nil }
                guard let value = Int(line[column]), (1...1 << 20).contains(value) else {
                    throw .badTable(
                        path: path,
                        reason:
                            "line \(number + 1): \"\(line[column].prefix(20))\" is no number from 1 to 1048576, nor -")
                }
                return value
            }
            rows.append(
                MeasuredRow(
                    model: String(line[modelColumn]), cards: try value(cardColumn),
                    length: try value(lengthColumn).map { $0 * 1024 }))
        }
        guard !rows.isEmpty else { throw .badTable(path: path, reason: "it has no rows") }
        self.rows = rows
        self.gigabytes = size
    }
}

/// Finds the coefficients that explain a table best.
///
/// The objective is the number of rows that come out right, which is not smooth. The fit therefore searches at random
/// from many starts, always with the same random numbers. It then moves the coefficients to where the right answer
/// that is closest to failing has the most room. Finally it moves each coefficient alone until fewer rows are right,
/// which gives the coefficient's range.
public struct ProfileFit {
    private let profile: MemoryProfile
    private let usable: Double
    private let lengths: [Int]
    private let rows: [Row]

    private struct Row {
        let name: String
        let cards: Int?
        let length: Int?
        /// The load of a card for each number of cards that can share the model.
        let choices: [(cards: Int, load: StoredLoad)]
    }

    /// - Parameter models: the shapes and storage of the table's models, in the table's order.
    public init(
        _ table: MeasuredTable, models: [(decoder: DecoderConfiguration, storage: StorageChoice)],
        profile: MemoryProfile
    ) {
        self.profile = profile
        usable = table.gigabytes * profile.nominalGigabyte * profile.utilization
        lengths = (0..<10).map { profile.minimalLength << $0 }
        rows = zip(table.rows, models).map { row, model in
            let planner = CardPlanner(model.decoder, profile: profile, storage: model.storage, memory: 0)
            let sizes = LayerSizes(model.decoder, storage: model.storage, profile: profile)
            let choices = planner.cardCounts.filter {
                planner.obstacle(tensorDegree: $0, pipelineDegree: 1) == nil
            }.map { cards in
                // The first shard is the largest if a dimension is not divided evenly.
                let placement = ParallelPlan(tensorDegree: cards, pipelineDegree: 1).placement(
                    ofRank: 0, layerCount: model.decoder.layers.count)
                let layers = placement.layers.map { (sizes.stored($0, at: placement), 1) }
                return (
                    cards,
                    StoredLoad(layers, of: model.decoder, at: placement, vocabularyUnit: profile.vocabularyUnit)
                )
            }
            return Row(name: row.model, cards: row.cards, length: row.length, choices: choices)
        }
    }

    /// The fewest cards and the longest context that coefficients predict for a row.
    private func answer(_ row: Row, _ coefficients: MemoryProfile.Coefficients) -> (cards: Int?, length: Int?) {
        for (cards, load) in row.choices {
            let fitting = lengths.prefix {
                need(load, coefficients, length: Double($0)) <= usable
            }
            if let length = fitting.last { return (cards, length) }
        }
        return (nil, nil)
    }

    private func need(
        _ load: StoredLoad, _ coefficients: MemoryProfile.Coefficients, length: Double
    ) -> Double {
        load.weights + load.logits(rows: profile.logitRows) + coefficients.overhead.value
            + length * (load.cachePerToken + load.perToken(coefficients))
            + length * length * load.perPair(coefficients)
    }

    private struct Score: Equatable {
        var cards = 0
        var both = 0
        var isRight: [Bool] = []

        /// Lengths count double, because in most tables the number of cards follows from the weights.
        var value: Int { cards + 2 * both }
    }

    private func score(_ coefficients: MemoryProfile.Coefficients) -> Score {
        var score = Score()
        for row in rows {
            let answer = answer(row, coefficients)
            if answer.cards == row.cards { score.cards += 1 }
            score.isRight.append(answer.cards == row.cards && answer.length == row.length)
            if score.isRight.last == true { score.both += 1 }
        }
        return score
    }

    /// How far, in bytes, the nearest right answer is from becoming wrong.
    private func margin(_ coefficients: MemoryProfile.Coefficients, _ isRight: [Bool]) -> Double {
        var least = Double.infinity
        for (row, right) in zip(rows, isRight) where right {
            for (cards, load) in row.choices {
                let first = need(load, coefficients, length: Double(lengths[0]))
                guard cards == row.cards, let length = row.length else {
                    if row.cards.map({ cards < $0 }) ?? true { least = min(least, first - usable) }
                    continue
                }
                least = min(least, usable - need(load, coefficients, length: Double(length)))
                if length < lengths[lengths.count - 1] {
                    least = min(least, need(load, coefficients, length: Double(2 * length)) - usable)
                }
                break
            }
        }
        return least
    }

    /// Fits the coefficients, and returns the profile with them, their ranges and a report.
    ///
    /// - Parameter table: the table's name, for the report.
    public func fitted(table: String, starts: Int = 48, steps: Int = 6000) -> MemoryProfile {
        let all = MemoryProfile.Coefficients.all
        var random = SplitMix(state: 1)
        var candidates: [(coefficients: MemoryProfile.Coefficients, score: Score)] = []
        for start in 0..<starts {
            var current = profile.coefficients
            if start > 0 {
                for entry in all { current[keyPath: entry.path].value = entry.scale * 2 * random.uniform() }
            }
            var found = score(current)
            for _ in 0..<steps {
                var next = current
                for _ in 0..<2 {
                    let entry = all[Int(random.uniform() * Double(all.count))]
                    let size = [1, 0.3, 0.1][Int(random.uniform() * 3)] * entry.scale
                    next[keyPath: entry.path].value = max(
                        0, next[keyPath: entry.path].value + size * (2 * random.uniform() - 1))
                }
                let score = score(next)
                if score.value >= found.value { (current, found) = (next, score) }
            }
            candidates.append((current, found))
        }
        // Look for the middle of the best region: as many rows right, with the most room around them.
        let most = candidates.map(\.score.value).max() ?? 0
        var (coefficients, room) = (profile.coefficients, -Double.infinity)
        for candidate in candidates where candidate.score.value == most {
            var (centre, width) = (
                candidate.coefficients, margin(candidate.coefficients, candidate.score.isRight)
            )
            for step in 0..<steps {
                var next = centre
                let size = 0.3 * (1 - Double(step) / Double(steps)) + 0.003
                for entry in all where random.uniform() < 0.5 {
                    next[keyPath: entry.path].value = max(
                        0, next[keyPath: entry.path].value + size * entry.scale * (2 * random.uniform() - 1))
                }
                let found = score(next)
                guard found.value >= most else { continue }
                let margin = margin(next, found.isRight)
                if margin > width { (centre, width) = (next, margin) }
            }
            if width > room { (coefficients, room) = (centre, width) }
        }
        for entry in all {
            // Three digits are more than such a table determines.
            let value = rounded(coefficients[keyPath: entry.path].value)
            coefficients[keyPath: entry.path] = MemoryProfile.Coefficient(value)
        }
        let final = score(coefficients)
        for entry in all {
            func edge(_ direction: Double) -> Double {
                var (inside, step) = (coefficients[keyPath: entry.path].value, entry.scale)
                while step > entry.scale / 1000 {
                    var moved = coefficients
                    moved[keyPath: entry.path].value = inside + direction * step
                    if moved[keyPath: entry.path].value >= 0, score(moved).value >= final.value,
                        abs(inside - coefficients[keyPath: entry.path].value) < 20 * entry.scale
                    {
                        inside = moved[keyPath: entry.path].value
                    } else {
                        step /= 2
                    }
                }
                return rounded(inside)
            }
            (coefficients[keyPath: entry.path].low, coefficients[keyPath: entry.path].high) = (edge(-1), edge(1))
        }
        var result = profile
        result.coefficients = coefficients
        result.fit = MemoryProfile.FitReport(
            table: table,
            method:
                "random search for the most rows right, then for the most room around right rows; ranges one at a time",
            rows: rows.count, cardsRight: final.cards, bothRight: final.both,
            misses: zip(rows, final.isRight).filter { !$0.1 }.map { row, _ in
                let answer = answer(row, coefficients)
                func shown(_ cards: Int?, _ length: Int?) -> String {
                    cards.map { "\($0) x \(shortLength(length ?? 0))" } ?? "-"
                }
                return
                    "\(row.name): table \(shown(row.cards, row.length)), profile \(shown(answer.cards, answer.length))"
            })
        return result
    }

    private func rounded(_ value: Double) -> Double {
        guard value > 0 else { return 0 }
        let digits = 2 - Int(log10(value).rounded(.down))
        let unit = pow(10, Double(abs(digits)))
        // Scaling by a whole power of ten gives the shortest decimal fractions.
        return digits > 0 ? (value * unit).rounded() / unit : (value / unit).rounded() * unit
    }
}

/// Sebastiano Vigna's SplitMix64, which gives the same numbers in every run.
private struct SplitMix {
    var state: UInt64

    mutating func uniform() -> Double {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return Double((z ^ (z >> 31)) >> 11) * 0x1p-53
    }
}
