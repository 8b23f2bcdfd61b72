// Reads expressions, from the weakest operators to the strongest.
//
// The order differs from Python's in two points that templates rely on: a sign binds more strongly than `**`, and
// filters and tests bind more strongly than arithmetic.
extension Parser {
    static func constant(_ name: Text) -> Value? {
        switch name {
        case "true", "True": .bool(true)
        case "false", "False": .bool(false)
        case "none", "None": Value.none
        default: nil
        }
    }

    mutating func expression(withConditional: Bool = true) throws(TemplateError) -> Expression {
        try nested { (parser) throws(TemplateError) in
            withConditional ? try parser.conditional() : try parser.disjunction()
        }
    }

    /// Reads expressions with commas between them, which are a tuple, or a single one.
    mutating func tuple(
        withConditional: Bool = true, mayBeEmpty: Bool = false
    ) throws(TemplateError) -> Expression {
        var items: [Expression] = []
        var isTuple = false
        while true {
            if !items.isEmpty { try expect(.comma) }
            if isAtTupleEnd { break }
            items.append(try expression(withConditional: withConditional))
            guard isAt(.comma) else { break }
            isTuple = true
        }
        if !isTuple, let item = items.first { return item }
        guard isTuple || mayBeEmpty else {
            throw position.error(.syntax, "Expected an expression, got '\(current.description)'")
        }
        return .tuple(items)
    }

    var isAtTupleEnd: Bool {
        [.variableEnd, .blockEnd, .symbol(.rightParenthesis)].contains(current.kind)
    }

    private mutating func conditional() throws(TemplateError) -> Expression {
        let unknownBefore = unknownRoutine
        let value = try disjunction()
        var choices: [(test: Expression, otherwise: Expression?, position: Position)] = []
        while isAt("if") {
            let start = take().position
            let test = try disjunction()
            choices.append((test, skip("else") ? try expression() : nil, start))
        }
        guard !choices.isEmpty else { return value }
        unknownRoutine = unknownBefore
        return .conditional(value, choices)
    }

    private mutating func disjunction() throws(TemplateError) -> Expression {
        var operands = [try conjunction()]
        while skip("or") { operands.append(try conjunction()) }
        return operands.count == 1 ? operands[0] : .any(operands)
    }

    private mutating func conjunction() throws(TemplateError) -> Expression {
        var operands = [try negation()]
        while skip("and") { operands.append(try negation()) }
        return operands.count == 1 ? operands[0] : .all(operands)
    }

    private mutating func negation() throws(TemplateError) -> Expression {
        guard skip("not") else { return try comparison() }
        return .not(try nested { (parser) throws(TemplateError) in try parser.negation() })
    }

    private static let comparisons: [Symbol: Comparison] = [
        .equal: .equal, .notEqual: .notEqual, .less: .less, .lessOrEqual: .lessOrEqual, .greater: .greater,
        .greaterOrEqual: .greaterOrEqual,
    ]

    private mutating func comparison() throws(TemplateError) -> Expression {
        let first = try sum()
        var rest: [(operation: Comparison, operand: Expression, position: Position)] = []
        while true {
            let start = position
            if case .symbol(let symbol) = current.kind, let operation = Self.comparisons[symbol] {
                take()
                rest.append((operation, try sum(), start))
            } else if skip("in") {
                rest.append((.isIn, try sum(), start))
            } else if isAt("not"), next.kind == .name("in") {
                take()
                take()
                rest.append((.isNotIn, try sum(), start))
            } else {
                return rest.isEmpty ? first : .comparison(first, rest)
            }
        }
    }

    private mutating func sum() throws(TemplateError) -> Expression {
        try chain([.add: .add, .subtract: .subtract]) { (parser) throws(TemplateError) in try parser.concatenation() }
    }

    private mutating func concatenation() throws(TemplateError) -> Expression {
        let start = position
        var operands = [try product()]
        while skip(.tilde) { operands.append(try product()) }
        return operands.count == 1 ? operands[0] : .concatenation(operands, start)
    }

    private mutating func product() throws(TemplateError) -> Expression {
        try chain([
            .multiply: .multiply, .divide: .divide, .floorDivide: .floorDivide, .remainder: .remainder,
        ]) { (parser) throws(TemplateError) in
            try parser.chain([.power: .power]) { (parser) throws(TemplateError) in try parser.unary() }
        }
    }

    /// Reads operands with those operators between them.
    private mutating func chain(
        _ operations: KeyValuePairs<Symbol, Arithmetic>,
        operand: (inout Parser) throws(TemplateError) -> Expression
    ) throws(TemplateError) -> Expression {
        let first = try operand(&self)
        var rest: [(operation: Arithmetic, operand: Expression, position: Position)] = []
        while case .symbol(let symbol) = current.kind,
            let operation = operations.first(where: { $0.key == symbol })?.value
        {
            let start = take().position
            rest.append((operation, try operand(&self), start))
        }
        return rest.isEmpty ? first : .arithmetic(first, rest)
    }

    private mutating func unary(withFilters: Bool = true) throws(TemplateError) -> Expression {
        let start = position
        let value: Expression
        if isAt(.subtract) || isAt(.add) {
            let isNegative = take().kind == .symbol(.subtract)
            let operand = try nested { (parser) throws(TemplateError) in try parser.unary(withFilters: false) }
            value = .signed(isNegative: isNegative, operand, start)
        } else {
            value = try primary()
        }
        var operations = try postfixes()
        if withFilters { operations += try filtersAndTests() }
        return operations.isEmpty ? value : .postfix(value, operations)
    }

    private mutating func primary() throws(TemplateError) -> Expression {
        let token = current
        switch token.kind {
        case .name(let name):
            take()
            return Self.constant(name).map(Expression.constant) ?? .variable(variable(name, token.position))
        case .string(var text):
            take()
            while case .string(let more) = current.kind {
                text.scalars += more.scalars
                take()
            }
            return .constant(.string(text))
        case .integer(let number):
            take()
            return .constant(.integer(number))
        case .largeInteger(let digits):
            take()
            return .constant(.largeInteger(digits))
        case .float(let number):
            take()
            return .constant(.float(number))
        case .symbol(.leftParenthesis):
            take()
            let value = try tuple(mayBeEmpty: true)
            try expect(.rightParenthesis)
            return value
        case .symbol(.leftBracket): return .list(try items(until: .rightBracket))
        case .symbol(.leftBrace): return try map()
        case .data, .variableBegin, .variableEnd, .blockBegin, .blockEnd, .symbol, .end:
            throw token.position.error(.syntax, "unexpected '\(token.description)'")
        }
    }

    private mutating func items(until end: Symbol) throws(TemplateError) -> [Expression] {
        take()
        var items: [Expression] = []
        while !isAt(end) {
            if !items.isEmpty { try expect(.comma) }
            if isAt(end) { break }
            items.append(try expression())
        }
        take()
        return items
    }

    private mutating func map() throws(TemplateError) -> Expression {
        let start = take().position
        var pairs: [(key: Expression, value: Expression)] = []
        while !isAt(.rightBrace) {
            if !pairs.isEmpty { try expect(.comma) }
            if isAt(.rightBrace) { break }
            let key = try expression()
            try expect(.colon)
            pairs.append((key, try expression()))
        }
        take()
        return .map(pairs, start)
    }

    // MARK: What follows a value

    private mutating func postfixes() throws(TemplateError) -> [Postfix] {
        var operations: [Postfix] = []
        while true {
            let start = position
            let operation: Postfix.Operation
            switch current.kind {
            case .symbol(.dot): operation = try attribute()
            case .symbol(.leftBracket): operation = try subscription()
            case .symbol(.leftParenthesis): operation = .call(try arguments())
            default: return operations
            }
            operations.append(Postfix(operation: operation, position: start))
        }
    }

    private mutating func attribute() throws(TemplateError) -> Postfix.Operation {
        take()
        let token = take()
        switch token.kind {
        case .name(let name): return .attribute(name)
        case .integer(let index): return .item(.constant(.integer(index)))
        default: throw token.position.error(.syntax, "expected name or number")
        }
    }

    private mutating func subscription() throws(TemplateError) -> Postfix.Operation {
        take()
        var items: [Expression] = []
        while !isAt(.rightBracket) {
            if !items.isEmpty { try expect(.comma) }
            let first = isAt(.colon) ? nil : try expression()
            if isAt(.colon) {
                guard items.isEmpty else { throw position.error(.syntax, "a slice among several indices") }
                take()
                let slice = try sliceEnd(from: first)
                try expect(.rightBracket)
                return slice
            }
            if let first { items.append(first) }
        }
        take()
        return .item(items.count == 1 ? items[0] : .tuple(items))
    }

    private mutating func sliceEnd(from start: Expression?) throws(TemplateError) -> Postfix.Operation {
        let stop = isAt(.colon) || isAt(.rightBracket) ? nil : try expression()
        let step = skip(.colon) && !isAt(.rightBracket) ? try expression() : nil
        return .slice(start: start, stop: stop, step: step)
    }

    private mutating func arguments() throws(TemplateError) -> CallArguments {
        let start = take().position
        var arguments = CallArguments()
        func ensure(_ isCorrect: Bool) throws(TemplateError) {
            guard isCorrect else {
                throw start.error(.syntax, "invalid syntax for function call expression")
            }
        }
        var isFirst = true
        while !isAt(.rightParenthesis) {
            if !isFirst { try expect(.comma) }
            if isAt(.rightParenthesis) { break }
            isFirst = false
            if skip(.multiply) {
                try ensure(arguments.list == nil && arguments.map == nil)
                arguments.list = try expression()
            } else if skip(.power) {
                try ensure(arguments.map == nil)
                arguments.map = try expression()
            } else if case .name(let name) = current.kind, next.kind == .symbol(.assign) {
                try ensure(arguments.map == nil && !arguments.named.contains { $0.name == name })
                take()
                take()
                arguments.named.append((name, try expression()))
            } else {
                try ensure(arguments.list == nil && arguments.map == nil && arguments.named.isEmpty)
                arguments.positional.append(try expression())
            }
        }
        take()
        return arguments
    }

    private mutating func filtersAndTests() throws(TemplateError) -> [Postfix] {
        var operations: [Postfix] = []
        while true {
            let start = position
            if isAt(.pipe) {
                operations += try filters()
            } else if isAt("is") {
                let (test, isNegated) = try test()
                operations.append(test)
                if isNegated { operations.append(Postfix(operation: .negation, position: start)) }
            } else if isAt(.leftParenthesis) {
                operations.append(Postfix(operation: .call(try arguments()), position: start))
            } else {
                return operations
            }
        }
    }

    mutating func filters() throws(TemplateError) -> [Postfix] {
        var filters: [Postfix] = []
        while skip(.pipe) { filters.append(try filter()) }
        return filters
    }

    /// Reads the name and the arguments of a filter.
    mutating func filter() throws(TemplateError) -> Postfix {
        let start = position
        let name = try routineName()
        let arguments = isAt(.leftParenthesis) ? try arguments() : CallArguments()
        let filter = try named(name, in: Routine.filters, "filter", start)
        return Postfix(operation: .filter(filter, arguments), position: start)
    }

    private mutating func test() throws(TemplateError) -> (test: Postfix, isNegated: Bool) {
        take()
        let isNegated = skip("not")
        let start = position
        let name = try routineName()
        var arguments = CallArguments()
        if isAt(.leftParenthesis) {
            arguments = try self.arguments()
        } else if isAtTestArgument {
            if isAt("is") { throw position.error(.syntax, "You cannot chain multiple tests with is") }
            let value = try primary()
            let operations = try postfixes()
            arguments.positional = [operations.isEmpty ? value : .postfix(value, operations)]
        }
        let test = try named(name, in: Routine.tests, "test", start)
        return (Postfix(operation: .test(test, arguments), position: start), isNegated)
    }

    private var isAtTestArgument: Bool {
        switch current.kind {
        case .name(let name): !["else", "or", "and"].contains(name)
        case .string, .integer, .largeInteger, .float, .symbol(.leftBracket), .symbol(.leftBrace): true
        default: false
        }
    }

    private mutating func routineName() throws(TemplateError) -> Text {
        var name = try expectName()
        while skip(.dot) { name = name + "." + (try expectName()) }
        return name
    }

    private mutating func named(
        _ name: Text, in table: [Text: Routine], _ kind: String, _ position: Position
    ) throws(TemplateError) -> NamedRoutine {
        let routine = table[name]
        if routine == nil, !isInBranch, unknownRoutine == nil {
            unknownRoutine = position.error(.unsupported, "No \(kind) named '\(name.string)'.")
        }
        return NamedRoutine(name: name, routine: routine)
    }
}
