// Reads the parts of a model other than its decoder.

extension ConfigurationFile {
    /// The model's parts other than the decoder, with the sizes in the file, or else computed from the tower's shape.
    ///
    /// - Parameter width: the decoder's hidden size, to which the projector maps the tower's features.
    func companions(width: Int) throws(ConfigurationError) -> [Companion] {
        let names = ["vision_tower", "projector"]
        if let given = try optionalObject("companion_parameters") {
            var companions: [Companion] = []
            for name in names {
                if let count = try given.optionalInteger(name, in: 0...1 << 40) {
                    companions.append(Companion(name: name, parameterCount: count))
                }
            }
            return companions
        }
        guard let vision = try optionalObject("vision_config"),
            let hidden = try vision.optionalInteger("hidden_size", in: DecoderReader.sizes),
            let wide = try vision.optionalInteger("intermediate_size", in: DecoderReader.sizes),
            let layers = try vision.optionalInteger("num_hidden_layers", in: 1...4096)
        else { return [] }
        // A vision transformer has four square and two wide matrices per layer, and a table for the patches.
        let patch = try vision.optionalInteger("patch_size", in: 1...1024) ?? 14
        let image = try vision.optionalInteger("image_size", in: patch...1 << 16) ?? 336
        let patches = (image / patch) * (image / patch) + 1
        let layer = 4 * (hidden * hidden + hidden) + 2 * hidden * wide + wide + 5 * hidden
        return [
            Companion(
                name: names[0], parameterCount: layers * layer + hidden * (3 * patch * patch + patches + 5)),
            // The projector has a matrix for the tower's features (InternVL joins those of four patches) and, except
            // in Gemma, a second one.
            Companion(
                name: names[1],
                parameterCount: try optionalString("model_type") == "gemma3"
                    ? hidden * width
                    : (try optionalString("model_type") == "internvl_chat" ? 4 : 1) * hidden * width + width * width
                        + 2 * width),
        ]
    }
}
