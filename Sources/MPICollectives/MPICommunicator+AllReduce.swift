import Collectives

extension MPICommunicator {
    /// Sums over the group in the order of `ReductionTree`, by one of three ways that all give the same bits.
    public func allReduce(_ buffer: UnsafeMutableBufferPointer<Float>) throws(CommunicationError) {
        clock.start()
        if size > 1 {
            let limit = max(1, limits.reduceByteCount / MemoryLayout<Float>.stride)
            var start = 0
            while start < buffer.count {
                let count = min(limit, buffer.count - start)
                guard let values = buffer.baseAddress.map({ $0 + start }) else { break }
                try reduce(values, count: count)
                start += count
            }
        }
        clock.finish(byteCount: buffer.count * MemoryLayout<Float>.stride)
    }

    private func reduce(_ values: UnsafeMutablePointer<Float>, count: Int) throws(CommunicationError) {
        if count * MemoryLayout<Float>.stride > limits.wholeByteCount {
            try reduceBySegments(values, count: count)
        } else if size & (size - 1) == 0 {
            try reduceByDoubling(values, count: count)
        } else {
            try reduceByGathering(values, count: count)
        }
    }

    /// Recursive doubling, neighbours first: after the step of distance d every rank holds its subtree of 2d ranks.
    ///
    /// For a power of two this is exactly the tree; both partners put the lower half's sum first.
    private func reduceByDoubling(
        _ values: UnsafeMutablePointer<Float>, count: Int
    ) throws(CommunicationError) {
        guard let theirs = room(for: count) else { return }
        var distance = 1
        while distance < size {
            let partner = rank ^ distance
            try post(bytes(values, count), to: partner, tag: CollectiveTag.allReduce)
            try fetch(into: mutableBytes(theirs, count), from: partner, tag: CollectiveTag.allReduce, "allReduce")
            try finishSends()
            if partner > rank {
                ReductionTree.add(values, theirs, into: values, count: count)
            } else {
                ReductionTree.add(theirs, values, into: values, count: count)
            }
            distance *= 2
        }
    }

    /// For small buffers on other numbers of ranks: everyone receives all terms and adds the whole tree.
    private func reduceByGathering(
        _ values: UnsafeMutablePointer<Float>, count: Int
    ) throws(CommunicationError) {
        guard let terms = room(for: count * size) else { return }
        for step in 1..<size {
            try post(bytes(values, count), to: (rank + step) % size, tag: CollectiveTag.allReduce)
        }
        for step in 1..<size {
            let other = (rank + size - step) % size
            try fetch(
                into: mutableBytes(terms + other * count, count), from: other, tag: CollectiveTag.allReduce,
                "allReduce")
        }
        try finishSends()
        (terms + rank * count).update(from: values, count: count)
        addTerms(terms, stride: count, count: count)
        values.update(from: terms, count: count)
    }

    /// For long buffers: each rank receives its segment from all, adds it in tree order, and sends the sums to all.
    private func reduceBySegments(
        _ values: UnsafeMutablePointer<Float>, count: Int
    ) throws(CommunicationError) {
        let mine = ReductionTree.segment(ofCount: count, part: rank, parts: size)
        guard let terms = room(for: max(1, mine.count * size)) else { return }
        for step in 1..<size {
            let other = (rank + step) % size
            let theirs = ReductionTree.segment(ofCount: count, part: other, parts: size)
            try post(bytes(values + theirs.lowerBound, theirs.count), to: other, tag: CollectiveTag.allReduce)
        }
        for step in 1..<size {
            let other = (rank + size - step) % size
            try fetch(
                into: mutableBytes(terms + other * mine.count, mine.count), from: other,
                tag: CollectiveTag.allReduce, "allReduce")
        }
        (terms + rank * mine.count).update(from: values + mine.lowerBound, count: mine.count)
        addTerms(terms, stride: mine.count, count: mine.count)
        // The sums go out of scratch while `values` may still be read by the first round's sends.
        try finishSends()
        for step in 1..<size {
            try post(bytes(terms, mine.count), to: (rank + step) % size, tag: CollectiveTag.allReduce)
        }
        (values + mine.lowerBound).update(from: terms, count: mine.count)
        for step in 1..<size {
            let other = (rank + size - step) % size
            let theirs = ReductionTree.segment(ofCount: count, part: other, parts: size)
            try fetch(
                into: mutableBytes(values + theirs.lowerBound, theirs.count), from: other,
                tag: CollectiveTag.allReduce, "allReduce")
        }
        try finishSends()
    }

    /// Leaves in term 0 the sum of all terms, each `stride` floats after the one before.
    private func addTerms(_ terms: UnsafeMutablePointer<Float>, stride: Int, count: Int) {
        ReductionTree.forEachAddition(count: size) { into, from in
            ReductionTree.add(terms + into * stride, terms + from * stride, into: terms + into * stride, count: count)
        }
    }

    private func bytes(_ values: UnsafeMutablePointer<Float>, _ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: values, count: count * MemoryLayout<Float>.stride)
    }

    private func mutableBytes(
        _ values: UnsafeMutablePointer<Float>, _ count: Int
    ) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: values, count: count * MemoryLayout<Float>.stride)
    }
}
