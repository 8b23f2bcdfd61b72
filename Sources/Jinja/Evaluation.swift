// Evaluates expressions.
extension Renderer {
    func evaluate(_ expression: Expression, _ activation: Activation) throws(TemplateError) -> Value {
        try step()
        // These have no parts, so that they need no level of their own.
        if case .constant(let value) = expression { return value }
        if case .variable(let variable) = expression { return read(variable, activation) }
        return try nested { () throws(TemplateError) in try evaluateParts(of: expression, activation) }
    }

    func read(_ variable: Variable, _ activation: Activation) -> Value {
        activation.at(variable.slot.hops).slots[variable.slot.index]
            ?? .undefined(Undefined("'\(variable.name.string)' is undefined"))
    }

    private func evaluateParts(
        of expression: Expression, _ activation: Activation
    ) throws(TemplateError) -> Value {
        switch expression {
        case .constant(let value): return value
        case .variable(let variable): return read(variable, activation)
        case .list(let items): return try list(try evaluate(items, activation))
        case .tuple(let items): return try tuple(try evaluate(items, activation))
        case .map(let pairs, let position):
            var entries: [OrderedMap.Entry] = []
            for pair in pairs {
                entries.append((try evaluate(pair.key, activation), try evaluate(pair.value, activation)))
            }
            self.position = position
            return try dictionary(entries)
        case .postfix(let value, let operations):
            var value = try evaluate(value, activation)
            for operation in operations { value = try apply(operation, to: value, activation) }
            return value
        case .arithmetic(let first, let rest):
            var value = try evaluate(first, activation)
            for (operation, operand, position) in rest {
                let right = try evaluate(operand, activation)
                self.position = position
                value = try compute(operation, value, right)
            }
            return value
        case .comparison(let first, let rest): return try compare(first, rest, activation)
        case .all(let operands): return try decide(operands, whileTrue: true, activation)
        case .any(let operands): return try decide(operands, whileTrue: false, activation)
        case .not(let value): return .bool(!(try evaluate(value, activation).isTrue))
        case .signed(let isNegative, let operand, let position):
            let value = try evaluate(operand, activation)
            self.position = position
            return try signed(value, isNegative: isNegative)
        case .concatenation(let operands, let position):
            var result: [Unicode.Scalar] = []
            for operand in operands {
                let text = try text(of: try evaluate(operand, activation))
                self.position = position
                try checkSize(result.count + text.count)
                try spend(text.count)
                result += text.scalars
            }
            return .string(Text(result))
        case .conditional(let value, let choices):
            // The last choice decides first, because each one takes those before it for its value.
            for choice in choices.reversed() {
                guard try !evaluate(choice.test, activation).isTrue else { continue }
                guard let otherwise = choice.otherwise else {
                    return .undefined(
                        Undefined(
                            "the inline if-expression on line \(choice.position.line) evaluated to false and no else "
                                + "section was defined."))
                }
                return try evaluate(otherwise, activation)
            }
            return try evaluate(value, activation)
        }
    }

    private func evaluate(_ expressions: [Expression], _ activation: Activation) throws(TemplateError) -> [Value] {
        var values: [Value] = []
        values.reserveCapacity(expressions.count)
        for expression in expressions { values.append(try evaluate(expression, activation)) }
        return values
    }

    /// The first operand that is not as true as the others must be, or the last one.
    private func decide(
        _ operands: [Expression], whileTrue: Bool, _ activation: Activation
    ) throws(TemplateError) -> Value {
        var value = Value.none
        for operand in operands {
            value = try evaluate(operand, activation)
            if value.isTrue != whileTrue { break }
        }
        return value
    }

    private func compare(
        _ first: Expression, _ rest: [(operation: Comparison, operand: Expression, position: Position)],
        _ activation: Activation
    ) throws(TemplateError) -> Value {
        var left = try evaluate(first, activation)
        for (operation, operand, position) in rest {
            let right = try evaluate(operand, activation)
            self.position = position
            guard try holds(left, operation, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    func evaluate(_ arguments: CallArguments, _ activation: Activation) throws(TemplateError) -> Arguments {
        var values = Arguments(positional: try evaluate(arguments.positional, activation))
        for (name, value) in arguments.named { values.named.append((name, try evaluate(value, activation))) }
        if let list = arguments.list {
            values.positional += try elements(of: try evaluate(list, activation))
        }
        if let map = arguments.map {
            guard case .dictionary(let dictionary) = try evaluate(map, activation) else {
                throw error(.operation, "argument after ** must be a mapping")
            }
            for entry in dictionary.entries {
                guard let name = entry.key.text else { throw error(.operation, "keywords must be strings") }
                guard !arguments.named.contains(where: { $0.name == name }) else {
                    throw error(.operation, "got multiple values for keyword argument '\(name.string)'")
                }
                values.named.append((name, entry.value))
            }
        }
        return values
    }

    func apply(
        _ postfix: Postfix, to value: Value, _ activation: Activation
    ) throws(TemplateError) -> Value {
        try step()
        switch postfix.operation {
        case .attribute(let name):
            position = postfix.position
            return try attribute(name, of: value)
        case .item(let index):
            let index = try evaluate(index, activation)
            position = postfix.position
            return try item(index, of: value)
        case .slice(let start, let stop, let step):
            let start = try start.map { (part) throws(TemplateError) in try evaluate(part, activation) }
            let stop = try stop.map { (part) throws(TemplateError) in try evaluate(part, activation) }
            let step = try step.map { (part) throws(TemplateError) in try evaluate(part, activation) }
            position = postfix.position
            return try slice(value, start, stop, step)
        case .call(let arguments):
            let values = try evaluate(arguments, activation)
            position = postfix.position
            return try call(value, values)
        case .filter(let filter, let arguments):
            let values = try evaluate(arguments, activation)
            position = postfix.position
            return try run(filter, "filter", value, values)
        case .test(let test, let arguments):
            let values = try evaluate(arguments, activation)
            position = postfix.position
            return try run(test, "test", value, values)
        case .negation: return .bool(!value.isTrue)
        }
    }

    private func run(
        _ named: NamedRoutine, _ kind: String, _ value: Value, _ arguments: Arguments
    ) throws(TemplateError) -> Value {
        guard let routine = named.routine else {
            throw error(.unsupported, "No \(kind) named '\(named.name.string)' found.")
        }
        return try routine.body(self, value, arguments)
    }

    func call(_ function: Value, _ arguments: Arguments) throws(TemplateError) -> Value {
        switch function {
        case .undefined(let undefined): throw error(using: undefined)
        case .object(let object):
            guard let call = object.call else { fallthrough }
            return try nested { () throws(TemplateError) in try call(self, arguments) }
        case .none, .bool, .integer, .largeInteger, .float, .string, .list, .tuple, .dictionary, .view, .range,
            .iterator, .namespace:
            throw error(.operation, "'\(function.typeName)' object is not callable")
        }
    }

    func error(using undefined: Undefined) -> TemplateError {
        error(undefined.isForbidden ? .security : .undefined, undefined.message)
    }
}
