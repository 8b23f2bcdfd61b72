import Collectives

extension MPICommunicator {
    /// Reduces over the group in the order of `ReductionTree`, by one of four algorithms that all give the same bits.
    public func allReduce(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try requireReduction(input: input.count, output: output.count, type, .allReduce)
        begin(.allReduce)
        if input.baseAddress != UnsafeRawPointer(output.baseAddress) { output.copyMemory(from: input) }
        if size > 1, let base = output.baseAddress {
            let limit = max(1, limits.reduceByteCount / type.byteCount)
            let count = output.count / type.byteCount
            for start in stride(from: 0, to: count, by: limit) {
                try reduce(
                    Elements(base: base + start * type.byteCount, count: min(limit, count - start), type: type),
                    reduction)
            }
        }
        clock.finish(byteCount: output.count)
    }

    /// Lets each rank receive its share from all, in parts that stay in the cache, and reduce it.
    public func reduceScatter(
        _ input: UnsafeRawBufferPointer, into share: UnsafeMutableRawBufferPointer, _ type: ReducedType,
        _ reduction: Reduction
    ) throws(CommunicationError) {
        try requireReduction(input: input.count, output: share.count, shares: size, type, .reduceScatter)
        begin(.reduceScatter)
        if let input = input.baseAddress, let output = share.baseAddress {
            let limit = max(1, limits.reduceByteCount / size / type.byteCount) * type.byteCount
            for start in stride(from: 0, to: share.count, by: limit) {
                let byteCount = min(limit, share.count - start)
                guard let terms = room(for: byteCount * size) else { break }
                for step in 1..<max(1, size) {
                    let other = (rank + step) % size
                    let piece = UnsafeRawBufferPointer(start: input + other * share.count + start, count: byteCount)
                    try post(piece, to: other)
                }
                for step in 1..<max(1, size) {
                    let other = (rank + size - step) % size
                    let place = UnsafeMutableRawBufferPointer(start: terms + other * byteCount, count: byteCount)
                    try fetch(into: place, from: other)
                }
                combine(type, reduction, into: output + start, count: byteCount / type.byteCount) {
                    $0 == rank ? input + rank * share.count + start : UnsafeRawPointer(terms + $0 * byteCount)
                }
                try finishSends()
            }
        }
        clock.finish(byteCount: input.count)
    }

    private func reduce(_ values: Elements, _ reduction: Reduction) throws(CommunicationError) {
        // Between two ranks, one exchange of everything moves no more bytes than two exchanges of halves.
        let isWhole = size == 2 || values.byteCount <= limits.tuning.wholeByteCount
        switch (size & (size - 1) == 0 && !values.type.isRounded, isWhole) {
        case (true, true): try reduceByDoubling(values, reduction)
        case (true, false): try reduceByHalving(values, reduction)
        case (false, true): try reduceByGathering(values, reduction)
        case (false, false): try reduceBySegments(values, reduction)
        }
    }

    /// Reduces by recursive doubling, neighbours first.
    ///
    /// After the step of distance d, every rank holds the result of its subtree of 2d ranks. For a power of two this is
    /// exactly the tree; both partners put the lower half's result first. It cannot serve types whose partial results
    /// would be rounded.
    private func reduceByDoubling(_ values: Elements, _ reduction: Reduction) throws(CommunicationError) {
        guard let theirs = room(for: values.byteCount) else { return }
        var distance = 1
        while distance < size {
            let partner = rank ^ distance
            try post(values.bytes, to: partner)
            try fetch(into: UnsafeMutableRawBufferPointer(start: theirs, count: values.byteCount), from: partner)
            try finishSends()
            let isLower = partner > rank
            terms[0] = isLower ? UnsafeRawPointer(values.base) : UnsafeRawPointer(theirs)
            terms[1] = isLower ? UnsafeRawPointer(theirs) : UnsafeRawPointer(values.base)
            combineTerms(2, values.type, reduction, into: values.base, count: values.count)
            distance *= 2
        }
    }

    /// Reduces by recursive halving, neighbours first, and doubling back.
    ///
    /// Each rank ends up with the whole tree of one part in `size`; then the parts are handed back the same way. It
    /// needs a power of two, and moves no more bytes than any algorithm must. The first and longest exchanges are
    /// between neighbours, which may share a host. It cannot serve types whose partial results would be rounded.
    private func reduceByHalving(_ values: Elements, _ reduction: Reduction) throws(CommunicationError) {
        guard let theirs = room(for: (values.count + 1) / 2 * values.type.byteCount + 64) else { return }
        var mine = 0..<values.count
        halves.removeAll(keepingCapacity: true)
        var distance = 1
        while distance < size {
            let partner = rank ^ distance
            let isLower = partner > rank
            let middle = mine.lowerBound + (mine.count / 2 + 15) / 16 * 16
            let (lower, upper) = (
                mine.lowerBound..<min(middle, mine.upperBound), min(middle, mine.upperBound)..<mine.upperBound
            )
            let (kept, given) = isLower ? (lower, upper) : (upper, lower)
            try post(values[given], to: partner)
            let received = UnsafeMutableRawBufferPointer(start: theirs, count: values[kept].count)
            try fetch(into: received, from: partner)
            let place = values.base + kept.lowerBound * values.type.byteCount
            terms[0] = UnsafeRawPointer(isLower ? place : theirs)
            terms[1] = UnsafeRawPointer(isLower ? theirs : place)
            combineTerms(2, values.type, reduction, into: place, count: kept.count)
            try finishSends()
            halves.append((partner, given))
            mine = kept
            distance *= 2
        }
        for (partner, given) in halves.reversed() {
            try post(values[mine], to: partner)
            try fetch(into: UnsafeMutableRawBufferPointer(mutating: values[given]), from: partner)
            try finishSends()
            mine = min(mine.lowerBound, given.lowerBound)..<max(mine.upperBound, given.upperBound)
        }
    }

    /// Reduces short buffers over any number of ranks: every rank receives all terms and reduces the whole tree.
    private func reduceByGathering(_ values: Elements, _ reduction: Reduction) throws(CommunicationError) {
        let byteCount = values.byteCount
        guard let terms = room(for: byteCount * size) else { return }
        for step in 1..<size {
            try post(values.bytes, to: (rank + step) % size)
        }
        for step in 1..<size {
            let other = (rank + size - step) % size
            try fetch(
                into: UnsafeMutableRawBufferPointer(start: terms + other * byteCount, count: byteCount), from: other)
        }
        try finishSends()
        combine(values.type, reduction, into: values.base, count: values.count) {
            UnsafeRawPointer($0 == rank ? values.base : terms + $0 * byteCount)
        }
    }

    /// Reduces long buffers: each rank receives its segment from all, reduces it in tree order, and sends the result to
    /// all.
    private func reduceBySegments(_ values: Elements, _ reduction: Reduction) throws(CommunicationError) {
        let mine = values.segment(rank, of: size)
        guard let terms = room(for: mine.count * (size + 1)) else { return }
        for step in 1..<size {
            let other = (rank + step) % size
            try post(values.segment(other, of: size), to: other)
        }
        for step in 1..<size {
            let other = (rank + size - step) % size
            try fetch(
                into: UnsafeMutableRawBufferPointer(start: terms + other * mine.count, count: mine.count), from: other)
        }
        // Results are sent from scratch memory, because the first round's sends may still read `values`.
        let results = UnsafeRawBufferPointer(start: terms + size * mine.count, count: mine.count)
        combine(
            values.type, reduction, into: terms + size * mine.count, count: mine.count / values.type.byteCount
        ) {
            $0 == rank ? mine.baseAddress ?? UnsafeRawPointer(terms) : UnsafeRawPointer(terms + $0 * mine.count)
        }
        try finishSends()
        for step in 1..<size {
            try post(results, to: (rank + step) % size)
        }
        UnsafeMutableRawBufferPointer(mutating: mine).copyMemory(from: results)
        for step in 1..<size {
            let other = (rank + size - step) % size
            try fetch(into: UnsafeMutableRawBufferPointer(mutating: values.segment(other, of: size)), from: other)
        }
        try finishSends()
    }
}

/// Elements of a buffer that are reduced together.
private struct Elements {
    let base: UnsafeMutableRawPointer
    let count: Int
    let type: ReducedType

    var byteCount: Int { count * type.byteCount }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: byteCount) }

    subscript(elements: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(
            start: base + elements.lowerBound * type.byteCount, count: elements.count * type.byteCount)
    }

    /// Gives the elements that one of `parts` ranks reduces.
    func segment(_ part: Int, of parts: Int) -> UnsafeRawBufferPointer {
        self[ReductionTree.segment(ofCount: count, part: part, parts: parts)]
    }
}

extension ReducedType {
    /// Whether results are rounded to this type, so that partial results must not be stored in it.
    fileprivate var isRounded: Bool { self == .bfloat16 || self == .float16 }
}
