import ArgumentParser
import AsyncHTTPClient

@main struct Martlet: AsyncParsableCommand { func run() async throws { print(HTTPClient.shared) } }
