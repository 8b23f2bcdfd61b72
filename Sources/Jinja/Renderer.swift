import JSON

/// Renders one template once: it executes statements, and holds what that takes.
///
/// `Evaluation.swift` evaluates expressions; other files add the operations on values.
final class Renderer {
    private var context: [Text: Value] = globals
    let clock: LocalTime
    private let limits: RenderLimits
    private var stepsLeft: Int
    private var workLeft: Int
    private var depth = 0
    /// What the innermost block that is being rendered has put out.
    private var output: [Unicode.Scalar] = []
    /// Where the operation that runs stands in the template.
    var position = Position()
    /// Objects that may refer to each other in circles, or in chains that are too long to be freed link by link.
    private var linked: [any Linked] = []
    /// The namespaces that are being printed, which may hold themselves.
    var printedNamespaces: [Namespace] = []

    init(context: [String: JSONValue], clock: LocalTime, limits: RenderLimits) throws(TemplateError) {
        self.clock = clock
        self.limits = limits
        (stepsLeft, workLeft) = (limits.steps, limits.work)
        for (name, value) in context { self.context[Text(name)] = try self.value(value) }
    }

    func render(_ statements: [Statement], _ scope: Scope, _ function: Function) throws(TemplateError) -> String {
        defer {
            for object in linked { object.clear() }
        }
        let activation = Activation(slotCount: function.slotCount, parent: nil)
        enter(scope, activation)
        _ = try execute(statements, activation)
        return Text(output).string
    }

    // MARK: Limits

    func error(_ kind: TemplateError.Kind, _ message: String) -> TemplateError { position.error(kind, message) }

    /// Counts one evaluation.
    func step() throws(TemplateError) {
        stepsLeft -= 1
        guard stepsLeft >= 0 else { throw error(.limit, "rendering takes more than \(limits.steps) steps") }
    }

    /// Counts work, before it is done: characters that are read or made, or what they are to one element each.
    func spend(_ count: Int, each cost: Int = 1) throws(TemplateError) {
        let (total, isTooMuch) = count.multipliedReportingOverflow(by: cost)
        try checkSize(isTooMuch ? .max : total)
        workLeft -= total
        guard workLeft >= 0 else { throw error(.limit, "rendering takes more work than \(limits.work) characters") }
    }

    /// Checks the size of a value before it is made.
    func checkSize(_ size: Int) throws(TemplateError) {
        guard size <= limits.size else {
            throw error(.limit, "a value is larger than \(limits.size) characters")
        }
    }

    /// Does something that may lead to itself, to a bounded depth.
    func nested<Result>(_ body: () throws(TemplateError) -> Result) throws(TemplateError) -> Result {
        guard depth < limits.depth else {
            throw error(.limit, "calls, blocks and expressions are nested more than \(limits.depth) times")
        }
        depth += 1
        defer { depth -= 1 }
        return try body()
    }

    // MARK: Output

    func write(_ text: Text) throws(TemplateError) {
        try spend(text.count)
        guard output.count + text.count <= limits.size else {
            throw error(.limit, "the output is longer than \(limits.size) characters")
        }
        output += text.scalars
    }

    /// What statements put out, and whether they end a loop, in which case it is lost as in Jinja.
    func capture(
        _ body: () throws(TemplateError) -> Flow
    ) throws(TemplateError) -> (text: Text, flow: Flow) {
        let outer = output
        output = []
        defer { output = outer }
        let flow = try body()
        return (Text(output), flow)
    }

    // MARK: Statements

    /// What comes after a statement.
    enum Flow {
        case next
        case breakLoop
        case continueLoop
    }

    func execute(_ statements: [Statement], _ activation: Activation) throws(TemplateError) -> Flow {
        for statement in statements {
            let flow = try execute(statement, activation)
            guard flow == .next else { return flow }
        }
        return .next
    }

    private func execute(_ statement: Statement, _ activation: Activation) throws(TemplateError) -> Flow {
        try step()
        switch statement {
        case .text(let text, let position):
            self.position = position
            try write(text)
        case .output(let expression, let position):
            let value = try evaluate(expression, activation)
            self.position = position
            try write(try text(of: value))
        case .assign(let target, let expression, let position):
            try checkNamespaces(target, activation, position)
            let value = try evaluate(expression, activation)
            self.position = position
            try assign(value, to: target, activation)
        case .capture(let target, let filters, let block, let position):
            let (value, flow) = try filtered(block, filters, activation)
            guard let value else { return flow }
            self.position = position
            try checkNamespaces(target, activation, position)
            try assign(value, to: target, activation)
        case .branches(let branches, let otherwise):
            var body = otherwise
            for branch in branches {
                guard try evaluate(branch.test, activation).isTrue else { continue }
                body = branch.body
                break
            }
            return try nested { () throws(TemplateError) in try execute(body, activation) }
        case .loop(let loop): return try execute(loop, activation)
        case .with(let bindings, let block):
            var values: [Value] = []
            for binding in bindings { values.append(try evaluate(binding.value, activation)) }
            enter(block.scope, activation)
            for (binding, value) in zip(bindings, values) { try assign(value, to: binding.target, activation) }
            return try nested { () throws(TemplateError) in try execute(block.statements, activation) }
        case .filtered(let filters, let block):
            let (value, flow) = try filtered(block, filters, activation)
            guard let value else { return flow }
            // Unlike other output, this must be a text already.
            try write(try string(value))
        case .macro(let variable, let macro): set(variable.slot, to: .object(callable(macro, activation)), activation)
        case .callBlock(let callee, let arguments, let macro, let position):
            let function = try evaluate(callee, activation)
            var values = try evaluate(arguments, activation)
            guard !values.named.contains(where: { $0.name == "caller" }) else {
                throw position.error(.syntax, "keyword argument repeated: caller")
            }
            values.named.append(("caller", .object(callable(macro, activation))))
            self.position = position
            try write(try string(try call(function, values)))
        case .generation(let macro):
            let text = try nested { () throws(TemplateError) in
                try invoke(macro, Arguments(), parent: activation)
            }
            try write(text)
        case .breakLoop: return .breakLoop
        case .continueLoop: return .continueLoop
        }
        return .next
    }

    /// What a block puts out, after filters; nil if it ends a loop.
    private func filtered(
        _ block: Block, _ filters: [Postfix], _ activation: Activation
    ) throws(TemplateError) -> (value: Value?, flow: Flow) {
        enter(block.scope, activation)
        let (text, flow) = try nested { () throws(TemplateError) in
            try capture { () throws(TemplateError) in try execute(block.statements, activation) }
        }
        guard flow == .next else { return (nil, flow) }
        var value = Value.string(text)
        for filter in filters { value = try apply(filter, to: value, activation) }
        return (value, .next)
    }

    // MARK: Variables

    /// Gives the variables of a block their first values.
    func enter(_ scope: Scope, _ activation: Activation) {
        for (index, entry) in scope.entries {
            switch entry {
            case .context(let name): activation.slots[index] = context[name]
            case .copy(let slot): activation.slots[index] = activation.at(slot.hops).slots[slot.index]
            case .unset: activation.slots[index] = nil
            }
        }
    }

    func set(_ slot: Slot, to value: Value, _ activation: Activation) {
        activation.at(slot.hops).slots[slot.index] = value
    }

    func assign(_ value: Value, to target: Target, _ activation: Activation) throws(TemplateError) {
        switch target {
        case .variable(let variable): set(variable.slot, to: value, activation)
        case .attribute(let variable, let name):
            guard case .namespace(let namespace) = read(variable, activation) else {
                throw variable.position.error(.operation, "cannot assign attribute on non-namespace object")
            }
            namespace.set(name, to: value)
        case .tuple(let targets, let position):
            self.position = position
            let source = try iterator(over: value)
            var values: [Value] = []
            while values.count <= targets.count, let value = try source.next(self) { values.append(value) }
            guard values.count == targets.count else {
                let problem =
                    values.count > targets.count
                    ? "too many values to unpack (expected \(targets.count))"
                    : "not enough values to unpack (expected \(targets.count), got \(values.count))"
                throw error(.operation, problem)
            }
            for (target, value) in zip(targets, values) { try assign(value, to: target, activation) }
        }
    }

    /// Checks the namespaces of a target before the value is evaluated, as Jinja does.
    private func checkNamespaces(
        _ target: Target, _ activation: Activation, _ position: Position
    ) throws(TemplateError) {
        switch target {
        case .variable: break
        case .attribute(let variable, _):
            guard case .namespace = read(variable, activation) else {
                throw position.error(.operation, "cannot assign attribute on non-namespace object")
            }
        case .tuple(let targets, _): for target in targets { try checkNamespaces(target, activation, position) }
        }
    }

    func makeNamespace() throws(TemplateError) -> Namespace {
        try spend(RenderCost.object)
        let namespace = Namespace()
        keep(namespace)
        return namespace
    }

    /// Keeps an object until the end, when it is emptied.
    func keep(_ object: some Linked) {
        guard !object.isKept else { return }
        object.isKept = true
        linked.append(object)
    }
}

/// An object that takes up new references after it is made, so that its depth cannot be bounded.
protocol Linked: AnyObject {
    /// Whether the renderer keeps it.
    var isKept: Bool { get set }
    /// Gives up its references.
    func clear()
}

/// The variables of one call of a macro, or of the template itself.
final class Activation: Linked {
    /// nil for a variable that has no value.
    var slots: [Value?]
    /// That of the function around this one.
    let parent: Activation?
    var isKept = false

    func clear() { slots = [] }

    init(slotCount: Int, parent: Activation?) {
        slots = Array(repeating: nil, count: slotCount)
        self.parent = parent
    }

    /// The activation of an enclosing function.
    func at(_ hops: Int) -> Activation {
        var activation = self
        for _ in 0..<hops { activation = activation.parent ?? activation }
        return activation
    }
}

/// What things cost in memory, in characters.
enum RenderCost {
    static let element = 4
    static let object = 64
}
