// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the pydriver authors
//
// Perfetto's trace processor, compiled to WebAssembly, behind a Unix socket: what
// `trace_processor server unix` is for PyPI's `perfetto`, which connects to it.
//
//   node trace_processor.cjs DIRECTORY SOCKET TRACE
//
// DIRECTORY has files of Perfetto's page, unchanged: the engine, and the script that runs it in a web
// worker. Here the script finds what a web worker has, as far as it looks, and gets the engine from
// DIRECTORY. The program prints "ready" when the trace has been loaded, and ends when its standard
// input does.

"use strict";

const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const vm = require("node:vm");

const [directory, socketPath, tracePath] = process.argv.slice(2);

// Messages of the trace processor's byte stream: TraceProcessorRpcStream.msg, of which
// TraceProcessorRpc.request says what is asked for.
const MSG = 1, SEQ = 1, REQUEST = 2, APPEND_TRACE_DATA = 101;
const TPM_APPEND_TRACE_DATA = 1, TPM_FINALIZE_TRACE_DATA = 2;
const CHUNK = 1 << 20;

function varint(value) {
    const bytes = [];
    for (; value > 0x7f; value = Math.floor(value / 128)) {
        bytes.push((value & 0x7f) | 0x80);
    }
    return Buffer.from([...bytes, value]);
}

const number = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);
const bytes = (field, data) => Buffer.concat([varint((field << 3) | 2), varint(data.length), data]);

let sequence = 0;
function rpc(...fields) {
    sequence += 1;
    return bytes(MSG, Buffer.concat([number(SEQ, sequence), ...fields]));
}

function loadEngine() {
    globalThis.self = globalThis;
    globalThis.WorkerGlobalScope = function WorkerGlobalScope() {};
    Object.defineProperty(globalThis, "location", {
        value: { href: `file://${directory}/` }, configurable: true,
    });
    globalThis.XMLHttpRequest = class {
        open(method, url) { this.path = path.join(directory, path.basename(url)); }
        send() { this.response = fs.readFileSync(this.path); }
    };
    const script = fs.readFileSync(path.join(directory, "engine_bundle.js"), "utf8");
    // A parameter hides the `process` that would betray Node.
    vm.compileFunction(script, ["process"], { filename: "engine_bundle.js" })();
}

loadEngine();
const channel = new MessageChannel();
const port = channel.port2;
globalThis.onmessage({ data: channel.port1 });

let answer = () => {};
let expected = 0;
port.onmessage = ({ data }) => answer(Buffer.from(data));

function serve() {
    const server = net.createServer((connection) => {
        answer = (data) => connection.write(data);
        connection.on("data", (data) => port.postMessage(new Uint8Array(data)));
        connection.on("error", () => connection.destroy());
    });
    server.listen(socketPath, () => console.log("ready"));
}

const trace = fs.readFileSync(tracePath);
for (let at = 0; at < trace.length; at += CHUNK) {
    const part = rpc(number(REQUEST, TPM_APPEND_TRACE_DATA),
        bytes(APPEND_TRACE_DATA, trace.subarray(at, at + CHUNK)));
    expected += 1;
    port.postMessage(new Uint8Array(part));
}
expected += 1;
port.postMessage(new Uint8Array(rpc(number(REQUEST, TPM_FINALIZE_TRACE_DATA))));
answer = () => {
    expected -= 1;
    if (expected === 0) {
        serve();
    }
};
process.stdin.resume().on("end", () => process.exit(0));
