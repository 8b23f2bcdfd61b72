// Jinja's tests, which follow `is`.
extension Routine {
    private typealias Predicate = @Sendable (Value) -> Bool

    private static func kind(_ isTrue: @escaping Predicate) -> Routine {
        Routine { (_, value, _) throws(TemplateError) in .bool(isTrue(value)) }
    }

    private static func comparing(_ comparison: Comparison) -> Routine {
        Routine(["other"], required: 1, positionalOnly: true) { (renderer, value, arguments) throws(TemplateError) in
            .bool(try renderer.holds(value, comparison, arguments[0] ?? .none))
        }
    }

    private static func parity(_ remainder: Int) -> Routine {
        Routine { (renderer, value, _) throws(TemplateError) in
            let rest = try renderer.compute(.remainder, value, .integer(2))
            return .bool(try renderer.areEqual(rest, .integer(remainder)))
        }
    }

    private static func cased(upper: Bool) -> Routine {
        Routine { (renderer, value, _) throws(TemplateError) in
            .bool(try renderer.text(of: value).isCased(upper: upper))
        }
    }

    private static func named(_ isKnown: @escaping @Sendable (Text) -> Bool) -> Routine {
        Routine { (renderer, value, _) throws(TemplateError) in
            _ = try renderer.key(value)
            return .bool(value.text.map(isKnown) ?? false)
        }
    }

    private static func isNumber(_ value: Value) -> Bool {
        switch value {
        case .bool, .integer, .largeInteger, .float: true
        case .undefined, .none, .string, .list, .tuple, .dictionary, .view, .range, .iterator, .namespace, .object:
            false
        }
    }

    private static func isIterable(_ value: Value) -> Bool {
        switch value {
        case .undefined, .string, .list, .tuple, .dictionary, .view, .range, .iterator: true
        case .none, .bool, .integer, .largeInteger, .float, .namespace, .object: false
        }
    }

    /// Whether a value has a length and items; an undefined one claims to have both.
    private static func isSequence(_ value: Value) -> Bool {
        switch value {
        case .undefined, .string, .list, .tuple, .dictionary, .range: true
        case .none, .bool, .integer, .largeInteger, .float, .view, .iterator, .namespace, .object: false
        }
    }

    private static let equal = comparing(.equal)
    private static let notEqual = comparing(.notEqual)
    private static let less = comparing(.less)
    private static let lessOrEqual = comparing(.lessOrEqual)
    private static let greater = comparing(.greater)
    private static let greaterOrEqual = comparing(.greaterOrEqual)

    static let tests: [Text: Routine] = [
        "boolean": kind { if case .bool = $0 { true } else { false } },
        "callable": kind { if case .object(let object) = $0 { object.call != nil } else { $0.isUndefined } },
        "defined": kind { !$0.isUndefined },
        "divisibleby": Routine(["num"], required: 1) { (renderer, value, arguments) throws(TemplateError) in
            let rest = try renderer.compute(.remainder, value, arguments[0] ?? .none)
            return .bool(try renderer.areEqual(rest, .integer(0)))
        },
        "escaped": kind { $0.text?.isMarkup == true },
        "even": parity(0), "odd": parity(1),
        "false": kind { if case .bool(false) = $0 { true } else { false } },
        "true": kind { if case .bool(true) = $0 { true } else { false } },
        "filter": named { filters[$0] != nil }, "test": named { tests[$0] != nil },
        "float": kind { if case .float = $0 { true } else { false } },
        "in": comparing(.isIn),
        "integer": kind {
            switch $0 {
            case .integer, .largeInteger: true
            default: false
            }
        },
        "iterable": kind(isIterable),
        "lower": cased(upper: false), "upper": cased(upper: true),
        "mapping": kind { if case .dictionary = $0 { true } else { false } },
        "none": kind(\.isNone),
        "number": kind(isNumber),
        "sameas": Routine(["other"], required: 1) { (renderer, value, arguments) throws(TemplateError) in
            .bool(try renderer.areSame(value, arguments[0] ?? .none))
        },
        "sequence": kind(isSequence),
        "string": kind { $0.text != nil },
        "undefined": kind(\.isUndefined),
        "==": equal, "eq": equal, "equalto": equal, "!=": notEqual, "ne": notEqual, "<": less, "lt": less,
        "lessthan": less, "<=": lessOrEqual, "le": lessOrEqual, ">": greater, "gt": greater, "greaterthan": greater,
        ">=": greaterOrEqual, "ge": greaterOrEqual,
    ]
}

extension Renderer {
    /// Whether two values are one object in Python; equal numbers and equal texts are taken for one.
    fileprivate func areSame(_ left: Value, _ right: Value) throws(TemplateError) -> Bool {
        switch (left, right) {
        case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)), (.view(let a), .view(let b)): a === b
        case (.dictionary(let a), .dictionary(let b)): a === b
        case (.range(let a), .range(let b)): a === b
        case (.undefined(let a), .undefined(let b)): a === b
        default: left.typeName == right.typeName ? try areEqual(left, right) : false
        }
    }
}
