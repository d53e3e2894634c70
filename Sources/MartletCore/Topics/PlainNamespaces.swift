/// The same options for every topic.
package struct PlainNamespaces: TopicNamespaces {
    private let options: TopicOptions

    package init(_ options: TopicOptions = TopicOptions()) { self.options = options }

    package func options(of topic: String, in app: AppID) -> TopicOptions { self.options }
}
