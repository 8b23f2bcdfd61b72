import Messages

extension SizingAnswer {
    /// The words for weights of a scheme; the scheme `none` means unquantized.
    public static func weightsText(_ scheme: String) -> String {
        scheme == StoredScheme.none.name ? "unquantized weights" : "\(scheme) weights"
    }

    /// The answer as text or Markdown.
    public func text(isMarkdown: Bool) -> String {
        var lines: [String] = []
        func table(_ header: [String], _ rows: [[String]]) {
            guard !isMarkdown else {
                lines.append("| " + header.joined(separator: " | ") + " |")
                lines.append("|" + String(repeating: "---|", count: header.count))
                lines += rows.map { "| " + $0.joined(separator: " | ") + " |" }
                lines.append("")
                return
            }
            let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max() ?? 0 }
            for row in [header] + rows {
                let cells = row.enumerated().map { column, cell in
                    String(repeating: " ", count: widths[column] - cell.count) + cell
                }
                lines.append("  " + cells.joined(separator: "  "))
            }
        }
        func say(_ text: String) {
            lines.append(isMarkdown ? text + "\n" : text)
        }

        let cards = (tensorDegree ?? 0) * (pipelineDegree ?? 0)
        say(
            "\(escaped(model)): \(shownCount(parameters)) parameters, \(Self.weightsText(quantization)), \(cacheType) cache, "
                + "profile \(escaped(profile))"
        )
        if let whyNot {
            say(
                "does not fit: \(whyNot); the fewest is \(minimalCards.map { counted($0, "card") } ?? "more than there may be")"
            )
        }
        if let tensorDegree, let pipelineDegree, let maximumLength, let lengthByMemory {
            say(
                "\(counted(cards, "card")) of \(gibibytes(Double(memoryBytes))), tensor parallel \(tensorDegree), pipeline parallel "
                    + "\(pipelineDegree)\(cards == minimalCards ? " (the fewest)" : minimalCards.map { "; the fewest is \($0)" } ?? "")"
            )
            say(
                "longest context: \(maximumLength) tokens; by memory \(lengthByMemory), by the model \(modelLimit): "
                    + (maximumLength < min(lengthByMemory, modelLimit) || maximumLength > modelLimit
                        ? "as asked" : "\(bindingLimit == "memory" ? "memory" : "the model") binds"))
        } else {
            if whyNot == nil { say("does not fit: \(whyNotFewer ?? "no plan")") }
        }
        if cards > 0, cards == minimalCards, let whyNotFewer { say("why not fewer: \(whyNotFewer)") }
        if let perCard, let maximumLength {
            say(
                "\(gibibytes(Double(memoryBytes))) nominal x \(shown(utilization)) = \(gibibytes(Double(perCard.usable))) usable; the tightest card (rank \(perCard.rank)) "
                    + "with \(batch) x \(maximumLength) tokens, \(cacheBytesPerToken) bytes of cache a token in all:")
            table(
                ["weights", "cache", "activations", "overhead", "free"],
                [
                    [perCard.weights, perCard.cache, perCard.activations, perCard.overhead, perCard.free].map {
                        gibibytes(Double($0))
                    }
                ])
            if let maximumBatch {
                say(
                    "at most \(counted(maximumBatch, "sequence")) of \(maximumLength) tokens at a time"
                )
            }
        }
        if let decodeBound, let readMilliseconds {
            let link = communicationMilliseconds.map { " + \(shown($0)) ms communicating" } ?? ""
            say(
                "decoding: at most \(shown(decodeBound)) tokens/s for one sequence (\(shown(readMilliseconds)) ms reading at \(shown(memoryBandwidth)) GB/s a card\(link))"
            )
        }
        if !alternatives.isEmpty {
            say("otherwise:")
            table(
                ["change", "fewest cards", "on", "longest by memory", "tokens/s"],
                alternatives.map { each in
                    [
                        each.change, each.minimalCards.map(String.init) ?? "",
                        each.tensorDegree.map { "\($0) x \(each.pipelineDegree ?? 1)" } ?? "",
                        each.maximumLength.map(String.init) ?? "-", each.decodeBound.map(shown) ?? "",
                    ]
                })
        }
        for each in alternatives {
            if let reason = each.reason { say("\(each.change): \(reason)") }
        }
        for warning in warnings { say("warning: \(warning)") }
        for note in notes { say("note: \(note)") }
        return lines.joined(separator: "\n") + "\n"
    }
}
