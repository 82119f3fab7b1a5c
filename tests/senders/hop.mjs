// Sends one span with attributes of its own, and a child without any; prints the trace that they are in.
// Usage: node hop.mjs ENDPOINT SERVICE NAME ATTRIBUTES

import * as api from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const [url, service, name, attributes] = process.argv.slice(2);
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ "service.name": service }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url }))],
});
const tracer = provider.getTracer("storefront");
const span = tracer.startSpan(name, { attributes: JSON.parse(attributes) });
tracer.startSpan("GET /checkout", {}, api.trace.setSpan(api.context.active(), span)).end();
span.end();
await provider.shutdown();
console.log(span.spanContext().traceId);
