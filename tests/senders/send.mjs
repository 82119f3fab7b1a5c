// Sends two spans with every kind of value that the SDK lets through, and prints the IDs that it gave them.
// Usage: node send.mjs proto|http|grpc none|gzip ENDPOINT SERVICE

import * as api from "@opentelemetry/api";
import { OTLPTraceExporter as GrpcExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as JsonExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as ProtobufExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const EXPORTERS = { proto: ProtobufExporter, http: JsonExporter, grpc: GrpcExporter };
const SECONDS = 1_795_230_751;

const [kind, compression, url, service] = process.argv.slice(2);
api.diag.setLogger(new api.DiagConsoleLogger(), api.DiagLogLevel.WARN);

// Attributes of spans may hold neither bytes nor maps; those of resources are not checked.
const resource = resourceFromAttributes(
  {
    "service.name": service,
    "host.cores": 4,
    "process.args": ["--till", "7"],
    "every byte": Uint8Array.from({ length: 256 }, (_, place) => place),
    "no bytes": new Uint8Array(),
    map: { text: "£", number: -1, members: { flag: false, nothing: null }, items: [1, "two", 3.5] },
    "no members": {},
    "bytes inside": [new Uint8Array([0, 255])],
  },
  { schemaUrl: "https://example.org/resource/1" },
);
const provider = new BasicTracerProvider({
  resource: defaultResource().merge(resource),
  spanLimits: {
    attributeCountLimit: 21,
    eventCountLimit: 2,
    linkCountLimit: 2,
    attributePerEventCountLimit: 2,
    attributePerLinkCountLimit: 1,
  },
  spanProcessors: [new BatchSpanProcessor(new EXPORTERS[kind]({ url, compression }))],
});
const tracer = provider.getTracer("till", "1.2", { schemaUrl: "https://example.org/scope/2" });

const caller = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  traceFlags: api.TraceFlags.SAMPLED,
  traceState: api.createTraceState("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
  isRemote: true,
};
const local = { traceId: "ff".repeat(16), spanId: "02".repeat(8), traceFlags: api.TraceFlags.NONE, isRemote: false };
const remote = { ...caller, spanId: "03".repeat(8), traceState: api.createTraceState("c=3") };

const outer = tracer.startSpan(
  "order.capture £",
  {
    kind: api.SpanKind.SERVER,
    startTime: [SECONDS, 517_065_540],
    attributes: {
      "retail.order_id": "1001",
      "retail.amount_minor": -1320,
      text: '£ 漢 🧾 "\\\n\u0000',
      empty: "",
      "looks like json": '[1, "2"]',
      yes: true,
      no: false,
      zero: 0,
      negative: -7,
      "above 2^31": 2 ** 31 + 1,
      "most exact": Number.MAX_SAFE_INTEGER,
      "above 2^53": 1e18,
      half: 0.5,
      tiny: Number.MIN_VALUE,
      texts: ["a", "£", "", null],
      numbers: [1, -2.5, 2 ** 40],
      flags: [true, false],
      "no items": [],
      "nothing inside": [null],
      long: Array.from({ length: 3000 }, (_, place) => `item ${place}`),
      last: "is kept",
      "over the limit": 1,
      "further over it": 2,
    },
    links: [
      { context: caller },
      { context: local },
      { context: remote, attributes: { why: ["batch", "£"], "over the limit": 1 } },
    ],
  },
  api.trace.setSpanContext(api.ROOT_CONTEXT, caller),
);
const inner = tracer.startSpan(
  "inner",
  {
    kind: api.SpanKind.CLIENT,
    startTime: [SECONDS, 517_065_541],
    attributes: {
      nan: NaN,
      infinite: -Infinity,
      // In JSON the SDK writes these as integers of more than 64 bits.
      ...(kind === "http" ? {} : { least: -(2 ** 63), "above 2^63": 2 ** 63 }),
    },
  },
  api.trace.setSpan(api.ROOT_CONTEXT, outer),
);
inner.setStatus({ code: api.SpanStatusCode.OK });
inner.end([SECONDS + 1, 0]);
outer.addEvent("over the limit");
outer.addEvent("", [SECONDS, 999_999_999]);
outer.addEvent("noted", { count: 3, "some £": [0.25], "over the limit": 1 }, [SECONDS + 2, 1]);
outer.setStatus({ code: api.SpanStatusCode.ERROR, message: "it £ailed" });
outer.end([SECONDS + 5, 517_065_541]);
await provider.forceFlush();
await provider.shutdown();
console.log(JSON.stringify({ outer: outer.spanContext().spanId, inner: inner.spanContext().spanId }));
