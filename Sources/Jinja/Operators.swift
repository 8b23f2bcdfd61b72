import Glibc

// Arithmetic, comparison and equality, as Python defines them.
extension Renderer {
    func compute(_ operation: Arithmetic, _ left: Value, _ right: Value) throws(TemplateError) -> Value {
        if case .undefined(let undefined) = left { throw error(using: undefined) }
        if operation == .remainder, case .string(let format) = left { return try self.format(format, with: right) }
        if case .undefined(let undefined) = right { throw error(using: undefined) }
        if let a = left.integer, let b = right.integer { return try compute(operation, a, b) }
        if let a = float(left), let b = float(right) { return .float(try compute(operation, a, b)) }
        switch (operation, left, right) {
        case (.add, .string(let a), .string(let b)):
            let isMarkup = a.isMarkup || b.isMarkup
            let (first, second) = isMarkup ? (a.escapedForHTML, b.escapedForHTML) : (a, b)
            return try string(Text(first.scalars + second.scalars, isMarkup: isMarkup))
        case (.add, .list(let a), .list(let b)): return try list(a.values + b.values)
        case (.add, .tuple(let a), .tuple(let b)): return try tuple(a.values + b.values)
        case (.multiply, .string(let text), _):
            if let count = right.integer {
                return .string(Text(try repeated(text.scalars, count), isMarkup: text.isMarkup))
            }
        case (.multiply, .list(let items), _):
            if let count = right.integer { return try list(try repeated(items.values, count)) }
        case (.multiply, .tuple(let items), _):
            if let count = right.integer { return try tuple(try repeated(items.values, count)) }
        case (.multiply, _, .string), (.multiply, _, .list), (.multiply, _, .tuple):
            if left.integer != nil { return try compute(.multiply, right, left) }
        default: break
        }
        if case .largeInteger = left { throw largeIntegerError }
        if case .largeInteger = right { throw largeIntegerError }
        throw error(
            .operation,
            "unsupported operand type(s) for \(operation.symbol): '\(left.typeName)' and '\(right.typeName)'")
    }

    private var largeIntegerError: TemplateError {
        error(.limit, "integers beyond 64 bits are not computed with")
    }

    private func repeated<Element>(_ elements: [Element], _ count: Int) throws(TemplateError) -> [Element] {
        guard count > 0, !elements.isEmpty else { return [] }
        try spend(elements.count, each: count)
        return Array(repeatElement(elements, count: count).joined())
    }

    private func float(_ value: Value) -> Double? {
        if case .float(let number) = value { return number }
        return value.integer.map(Double.init)
    }

    private func compute(_ operation: Arithmetic, _ a: Int, _ b: Int) throws(TemplateError) -> Value {
        let (result, overflows): (Int, Bool)
        switch operation {
        case .add: (result, overflows) = a.addingReportingOverflow(b)
        case .subtract: (result, overflows) = a.subtractingReportingOverflow(b)
        case .multiply: (result, overflows) = a.multipliedReportingOverflow(by: b)
        case .divide: return .float(try compute(.divide, Double(a), Double(b)))
        case .floorDivide, .remainder:
            guard b != 0 else { throw error(.operation, "integer division or modulo by zero") }
            let quotient = a.dividedReportingOverflow(by: b)
            let remainder = quotient.overflow ? 0 : a - quotient.partialValue * b
            // Python rounds down, where Swift rounds towards zero.
            let isRoundedUp = remainder != 0 && (remainder < 0) != (b < 0)
            if operation == .remainder { return .integer(isRoundedUp ? remainder + b : remainder) }
            (result, overflows) = (isRoundedUp ? quotient.partialValue - 1 : quotient.partialValue, quotient.overflow)
        case .power:
            guard b >= 0 else { return .float(try compute(.power, Double(a), Double(b))) }
            (result, overflows) = Self.power(a, b)
        }
        guard !overflows else { throw largeIntegerError }
        return .integer(result)
    }

    private static func power(_ base: Int, _ exponent: Int) -> (Int, Bool) {
        var (result, factor, rest) = (1, base, exponent)
        var overflows = false
        while rest > 0 {
            if rest & 1 == 1 {
                if overflows { return (0, true) }
                let product = result.multipliedReportingOverflow(by: factor)
                if product.overflow { return (0, true) }
                result = product.partialValue
            }
            rest >>= 1
            if !overflows { (factor, overflows) = factor.multipliedReportingOverflow(by: factor) }
        }
        return (result, false)
    }

    private func compute(_ operation: Arithmetic, _ a: Double, _ b: Double) throws(TemplateError) -> Double {
        switch operation {
        case .add: return a + b
        case .subtract: return a - b
        case .multiply: return a * b
        case .divide:
            guard b != 0 else { throw error(.operation, "division by zero") }
            return a / b
        case .floorDivide, .remainder:
            guard b != 0 else { throw error(.operation, "float floor division by zero") }
            var remainder = fmod(a, b)
            var quotient = (a - remainder) / b
            if remainder == 0 {
                remainder = copysign(0, b)
            } else if (b < 0) != (remainder < 0) {
                remainder += b
                quotient -= 1
            }
            if operation == .remainder { return remainder }
            guard quotient != 0 else { return copysign(0, a / b) }
            let floored = quotient.rounded(.down)
            return quotient - floored > 0.5 ? floored + 1 : floored
        case .power:
            guard a != 0 || b >= 0 else { throw error(.operation, "0.0 cannot be raised to a negative power") }
            let result = pow(a, b)
            guard !result.isNaN || a.isNaN || b.isNaN else {
                throw error(.operation, "complex numbers are not supported")
            }
            guard result.isFinite || !a.isFinite || !b.isFinite else {
                throw error(.operation, "Numerical result out of range")
            }
            return result
        }
    }

    func signed(_ value: Value, isNegative: Bool) throws(TemplateError) -> Value {
        switch value {
        case .undefined(let undefined): throw error(using: undefined)
        case .float(let number): return .float(isNegative ? -number : number)
        case .largeInteger: throw largeIntegerError
        case .bool, .integer, .none, .string, .list, .tuple, .dictionary, .view, .range, .iterator, .namespace, .object:
            guard let number = value.integer else {
                throw error(
                    .operation, "bad operand type for unary \(isNegative ? "-" : "+"): '\(value.typeName)'")
            }
            return isNegative ? try compute(.subtract, 0, number) : .integer(number)
        }
    }

    // MARK: Comparison

    func holds(_ left: Value, _ operation: Comparison, _ right: Value) throws(TemplateError) -> Bool {
        switch operation {
        case .equal: try areEqual(left, right)
        case .notEqual: try !areEqual(left, right)
        case .less: try isLess(left, right, "<")
        case .greater: try isLess(right, left, ">")
        // These differ from the negation of the others for NaN.
        case .lessOrEqual: try isLess(left, right, "<=", orEqual: true)
        case .greaterOrEqual: try isLess(right, left, ">=", orEqual: true)
        case .isIn: try contains(right, left)
        case .isNotIn: try !contains(right, left)
        }
    }

    func areEqual(_ left: Value, _ right: Value) throws(TemplateError) -> Bool {
        switch (left, right) {
        case (.undefined, .undefined), (.none, .none): return true
        case (.string(let a), .string(let b)):
            try spend(min(a.count, b.count))
            return a == b
        case (.largeInteger(let a), .largeInteger(let b)): return a == b
        case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)), (.view(let a), .view(let b)):
            if a === b { return true }
            return try areEqual(a.values, b.values)
        case (.dictionary(let a), .dictionary(let b)):
            guard a !== b else { return true }
            guard a.entries.count == b.entries.count else { return false }
            for entry in a.entries {
                guard let other = b[try key(entry.key)] else { return false }
                guard try nested({ () throws(TemplateError) in try areEqual(entry.value, other) }) else { return false }
            }
            return true
        case (.range(let a), .range(let b)): return a == b
        case (.iterator(let a), .iterator(let b)): return a === b
        case (.namespace(let a), .namespace(let b)): return a === b
        case (.object(let a), .object(let b)): return a === b
        default: return numericOrder(left, right) == .equal
        }
    }

    func areEqual(_ left: [Value], _ right: [Value]) throws(TemplateError) -> Bool {
        guard left.count == right.count else { return false }
        try spend(left.count)
        for (a, b) in zip(left, right) {
            guard try nested({ () throws(TemplateError) in try areEqual(a, b) }) else { return false }
        }
        return true
    }

    private enum Order {
        case less
        case equal
        case greater
    }

    /// The order of two numbers; nil if one is none, or not a number.
    private func numericOrder(_ left: Value, _ right: Value) -> Order? {
        if let a = left.integer, let b = right.integer { return a < b ? .less : a == b ? .equal : .greater }
        switch (left, right) {
        case (.float(let a), .float(let b)): return a < b ? .less : a == b ? .equal : a > b ? .greater : nil
        case (.float(let a), _):
            return right.integer.flatMap { Self.order(of: $0, and: a) }.map {
                $0 == .less ? .greater : $0 == .equal ? .equal : .less
            }
        case (_, .float(let b)): return left.integer.flatMap { Self.order(of: $0, and: b) }
        default: return nil
        }
    }

    private static func order(of integer: Int, and number: Double) -> Order? {
        guard !number.isNaN else { return nil }
        guard let floor = Int(exactly: number.rounded(.down)) else { return number > 0 ? .less : .greater }
        if integer != floor { return integer < floor ? .less : .greater }
        return number == number.rounded(.down) ? .equal : .less
    }

    /// Whether one value is before another; `symbol` is the operator for messages.
    func isLess(
        _ left: Value, _ right: Value, _ symbol: String = "<", orEqual: Bool = false
    ) throws(TemplateError) -> Bool {
        if case .undefined(let undefined) = left { throw error(using: undefined) }
        if case .undefined(let undefined) = right { throw error(using: undefined) }
        switch (left, right) {
        case (.string(let a), .string(let b)):
            try spend(min(a.count, b.count))
            return a < b || (orEqual && a == b)
        case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
            for (a, b) in zip(a.values, b.values) {
                try spend(1)
                if try areEqual(a, b) { continue }
                return try nested { () throws(TemplateError) in try isLess(a, b, symbol, orEqual: orEqual) }
            }
            return orEqual ? a.values.count <= b.values.count : a.values.count < b.values.count
        default:
            if let order = numericOrder(left, right) { return order == .less || (orEqual && order == .equal) }
            guard isNumber(left), isNumber(right) else {
                let (first, second) = symbol.hasPrefix(">") ? (right, left) : (left, right)
                throw error(
                    .operation,
                    "'\(symbol)' not supported between instances of '\(first.typeName)' and '\(second.typeName)'")
            }
            if case .largeInteger = left { throw largeIntegerError }
            if case .largeInteger = right { throw largeIntegerError }
            return false
        }
    }

    private func isNumber(_ value: Value) -> Bool { ["int", "float", "bool"].contains(value.typeName) }

    /// Whether `container` holds `value`, as the operator `in` says.
    func contains(_ container: Value, _ value: Value) throws(TemplateError) -> Bool {
        switch container {
        case .string(let text):
            guard let part = value.text else {
                throw error(
                    .operation, "'in <string>' requires string as left operand, not \(value.typeName)")
            }
            try spend(text.count + part.count)
            return text.contains(part)
        case .dictionary(let dictionary): return dictionary[try key(value)] != nil
        case .undefined, .list, .tuple, .view, .range, .iterator:
            let source = try iterator(over: container)
            while let element = try source.next(self) {
                try spend(1)
                if try areEqual(element, value) { return true }
            }
            return false
        case .none, .bool, .integer, .largeInteger, .float, .namespace, .object:
            throw error(.operation, "argument of type '\(container.typeName)' is not iterable")
        }
    }

    /// Sorts stably by keys, as Python's `sorted` does.
    func sorted(
        _ values: [Value], by key: (Value) throws(TemplateError) -> Value, descending: Bool = false
    ) throws(TemplateError) -> [Value] {
        var items: [(key: Value, value: Value)] = []
        for value in values { items.append((try key(value), value)) }
        // Equal values keep their order in both directions.
        if descending { items.reverse() }
        var width = 1
        while width < items.count {
            var merged: [(key: Value, value: Value)] = []
            merged.reserveCapacity(items.count)
            for start in stride(from: 0, to: items.count, by: 2 * width) {
                let (middle, end) = (min(start + width, items.count), min(start + 2 * width, items.count))
                var (left, right) = (start, middle)
                while left < middle || right < end {
                    try spend(RenderCost.element)
                    var takesRight = left == middle
                    if left < middle, right < end { takesRight = try isLess(items[right].key, items[left].key) }
                    merged.append(items[takesRight ? right : left])
                    if takesRight { right += 1 } else { left += 1 }
                }
            }
            items = merged
            width *= 2
        }
        if descending { items.reverse() }
        return items.map(\.value)
    }
}

extension Arithmetic {
    fileprivate var symbol: String {
        switch self {
        case .add: "+"
        case .subtract: "-"
        case .multiply: "*"
        case .divide: "/"
        case .floorDivide: "//"
        case .remainder: "%"
        case .power: "** or pow()"
        }
    }
}
