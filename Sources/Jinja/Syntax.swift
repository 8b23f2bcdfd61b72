// The tree of a template. Chains of operators are lists, so that the depth of the tree is that of the source's nesting.

/// An expression.
indirect enum Expression {
    case constant(Value)
    case variable(Variable)
    case list([Expression])
    case tuple([Expression])
    case map([(key: Expression, value: Expression)], Position)
    /// Attributes, items, calls, filters and tests that follow a value.
    case postfix(Expression, [Postfix])
    /// Operators of one precedence, from left to right.
    case arithmetic(Expression, [(operation: Arithmetic, operand: Expression, position: Position)])
    case comparison(Expression, [(operation: Comparison, operand: Expression, position: Position)])
    case all([Expression])
    case any([Expression])
    case not(Expression)
    case signed(isNegative: Bool, Expression, Position)
    case concatenation([Expression], Position)
    /// `value if test else otherwise`; each further one takes the former for its value.
    case conditional(Expression, [(test: Expression, otherwise: Expression?, position: Position)])
}

enum Arithmetic {
    case add
    case subtract
    case multiply
    case divide
    case floorDivide
    case remainder
    case power
}

enum Comparison {
    case equal
    case notEqual
    case less
    case lessOrEqual
    case greater
    case greaterOrEqual
    case isIn
    case isNotIn
}

/// One operation that follows a value.
struct Postfix {
    let operation: Operation
    let position: Position

    enum Operation {
        case attribute(Text)
        case item(Expression)
        case slice(start: Expression?, stop: Expression?, step: Expression?)
        case call(CallArguments)
        case filter(NamedRoutine, CallArguments)
        case test(NamedRoutine, CallArguments)
        /// The `not` of `is not`.
        case negation
    }
}

/// A filter or a test.
struct NamedRoutine {
    let name: Text
    /// nil if there is none with that name, in a branch where that is an error only when it runs.
    let routine: Routine?
}

/// The arguments as they are written in a call.
struct CallArguments {
    var positional: [Expression] = []
    var named: [(name: Text, value: Expression)] = []
    /// What follows a star: more arguments without names.
    var list: Expression?
    /// What follows two stars: more arguments with names.
    var map: Expression?
}

/// An occurrence of a variable.
final class Variable {
    let name: Text
    let position: Position
    /// Where its value is; `ScopeResolver` sets it before the template is used.
    var slot = Slot(hops: 0, index: 0)

    init(_ name: Text, _ position: Position) {
        self.name = name
        self.position = position
    }
}

/// A place in an activation: of this function, or of one that encloses it.
struct Slot: Equatable {
    /// The number of enclosing functions to go out.
    var hops: Int
    var index: Int
}

/// What can be assigned to.
indirect enum Target {
    case variable(Variable)
    case attribute(Variable, Text)
    case tuple([Target], Position)
}

enum Statement {
    case text(Text, Position)
    case output(Expression, Position)
    case assign(Target, Expression, Position)
    /// `{% set x %}…{% endset %}`
    case capture(Target, filters: [Postfix], Block, Position)
    case branches([(test: Expression, body: [Statement])], otherwise: [Statement])
    case loop(Loop)
    case with([(target: Target, value: Expression)], Block)
    /// `{% filter name %}…{% endfilter %}`
    case filtered([Postfix], Block)
    case macro(Variable, Macro)
    /// `{% call callee(arguments) %}…{% endcall %}`
    case callBlock(callee: Expression, CallArguments, Macro, Position)
    /// `{% generation %}…{% endgeneration %}`, which marks what a model has said.
    case generation(Macro)
    case breakLoop
    case continueLoop
}

/// Statements with variables of their own.
struct Block {
    let statements: [Statement]
    let scope = Scope()
}

/// What to do with the variables of a block when it is entered; `ScopeResolver` fills it in.
final class Scope {
    var entries: [(index: Int, entry: Entry)] = []

    enum Entry {
        /// Takes the value from the context.
        case context(Text)
        /// Copies the variable of an enclosing block.
        case copy(Slot)
        case unset
    }
}

final class Loop {
    let target: Target
    let values: Expression
    let filter: (target: Target, test: Expression, scope: Scope)?
    let body: Block
    let otherwise: Block?
    let position: Position
    /// The variable `loop`.
    let state: Variable
    /// The slots of the function that a recursive loop is; nil for a plain loop.
    let function: Function?

    init(
        target: Target, values: Expression, filter: (target: Target, test: Expression, scope: Scope)?, body: Block,
        otherwise: Block?, position: Position, function: Function?
    ) {
        self.target = target
        self.values = values
        self.filter = filter
        self.body = body
        self.otherwise = otherwise
        self.position = position
        self.function = function
        state = Variable("loop", position)
    }
}

/// The size of the activations of a function; `ScopeResolver` fills it in.
final class Function {
    var slotCount = 0
}

/// The definition of a macro or of the body of a call.
final class Macro {
    /// nil for the body of a call.
    let name: Text?
    let parameters: [(variable: Variable, defaultValue: Expression?)]
    let body: Block
    let function = Function()
    /// The variables `caller`, `kwargs` and `varargs`, each if the body uses it.
    let caller: Variable?
    let keywords: Variable?
    let rest: Variable?

    init(
        name: Text?, parameters: [(variable: Variable, defaultValue: Expression?)], body: Block, caller: Variable?,
        keywords: Variable?, rest: Variable?
    ) {
        self.name = name
        self.parameters = parameters
        self.body = body
        self.caller = caller
        self.keywords = keywords
        self.rest = rest
    }
}

extension Expression {
    /// Gives every occurrence of a variable in the expression, in the order of the source.
    func forEachVariable(_ report: (Variable) -> Void) {
        switch self {
        case .constant: break
        case .variable(let variable): report(variable)
        case .list(let items), .tuple(let items), .all(let items), .any(let items), .concatenation(let items, _):
            for item in items { item.forEachVariable(report) }
        case .map(let pairs, _):
            for pair in pairs {
                pair.key.forEachVariable(report)
                pair.value.forEachVariable(report)
            }
        case .postfix(let value, let operations):
            value.forEachVariable(report)
            for operation in operations { operation.forEachVariable(report) }
        case .arithmetic(let first, let rest):
            first.forEachVariable(report)
            for (_, operand, _) in rest { operand.forEachVariable(report) }
        case .comparison(let first, let rest):
            first.forEachVariable(report)
            for (_, operand, _) in rest { operand.forEachVariable(report) }
        case .not(let value), .signed(_, let value, _): value.forEachVariable(report)
        case .conditional(let value, let choices):
            value.forEachVariable(report)
            for choice in choices {
                choice.test.forEachVariable(report)
                choice.otherwise?.forEachVariable(report)
            }
        }
    }
}

extension Postfix {
    func forEachVariable(_ report: (Variable) -> Void) {
        switch operation {
        case .attribute, .negation: break
        case .item(let index): index.forEachVariable(report)
        case .slice(let start, let stop, let step):
            for part in [start, stop, step] { part?.forEachVariable(report) }
        case .call(let arguments), .filter(_, let arguments), .test(_, let arguments):
            arguments.forEachVariable(report)
        }
    }
}

extension CallArguments {
    func forEachVariable(_ report: (Variable) -> Void) {
        for value in positional { value.forEachVariable(report) }
        for (_, value) in named { value.forEachVariable(report) }
        list?.forEachVariable(report)
        map?.forEachVariable(report)
    }
}
