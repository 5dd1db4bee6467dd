// Parses the AsyncAPI documents named on the command line; prints, as JSON, what the official parser found in each.
import { Parser, fromFile } from "@asyncapi/parser";

const parser = new Parser();
const results = [];
for (const path of process.argv.slice(2)) {
  const { document, diagnostics } = await fromFile(parser, path).parse();
  results.push({
    channels: document?.allChannels().all().map((channel) => channel.address()) ?? null,
    messages: document?.allMessages().all().map((message) => message.id()) ?? null,
    problems: diagnostics
      .filter(({ severity }) => severity <= 1) // errors and warnings
      .map(({ path, message }) => `${path.join(".")}: ${message}`),
  });
}
console.log(JSON.stringify(results));
