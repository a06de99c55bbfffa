// What a Node application does with an MQTT broker, one command a run:
//
//   node mqtt_client.mjs URL sub TOPIC COUNT             COUNT messages with QoS 2, then ends
//   node mqtt_client.mjs URL reply TOPIC COUNT           the same, and answers each with "re: " and its payload
//   node mqtt_client.mjs URL pub QOS RETAIN TOPIC PAYLOAD...     RETAIN is 0 or 1
//   node mqtt_client.mjs URL properties TOPIC PAYLOAD JSON       JSON is of MQTT.js: {"contentType": ...}
//   node mqtt_client.mjs URL request TOPIC PAYLOAD
//
// Prints "ready" when connected and subscribed, then a line of JSON per message received. An error of the
// client is a line {"error": its code}. URL may be mqtt:// or ws://; MQTT_VERSION is 3, 4 or 5 (5), MQTT_OPTIONS
// is JSON of connect's options, and a client with a MQTT_SESSION for its id keeps a session.
import { randomUUID } from "node:crypto";
import mqtt from "mqtt";

const [url, command, ...args] = process.argv.slice(2);
const { MQTT_VERSION = "5", MQTT_SESSION: clientId, MQTT_OPTIONS = "{}" } = process.env;
const version = Number(MQTT_VERSION);
const say = (line) => console.log(JSON.stringify(line));

const bytesAsText = (properties = {}) =>
  Object.fromEntries(
    Object.entries(properties).map(([name, value]) => [name, Buffer.isBuffer(value) ? value.toString() : value]),
  );

function show(topic, payload, { qos, retain, properties }) {
  say({ topic, payload: payload.toString("base64"), qos, retain, properties: bytesAsText(properties) });
}

// Resolves when so many messages came; a message is listened for before there can be one.
function received(client, count, answer = async () => {}) {
  const answers = [];
  return new Promise((resolve) => {
    client.on("message", (topic, payload, packet) => {
      show(topic, payload, packet);
      answers.push(answer(payload, packet.properties));
      if (--count === 0) resolve(Promise.all(answers));
    });
  });
}

const commands = {
  sub: async (client, [topic, count], all) => {
    await client.subscribeAsync(topic, { qos: 2 });
    console.log("ready");
    await all(Number(count));
  },
  reply: async (client, [topic, count], all) => {
    await client.subscribeAsync(topic, { qos: 1 });
    console.log("ready");
    await all(Number(count), (payload, { responseTopic, correlationData }) =>
      client.publishAsync(responseTopic, `re: ${payload}`, { qos: 1, properties: { correlationData } }),
    );
  },
  pub: async (client, [qos, retain, topic, ...payloads]) => {
    console.log("ready");
    for (const payload of payloads)
      await client.publishAsync(topic, payload, { qos: Number(qos), retain: retain === "1" });
  },
  properties: async (client, [topic, payload, properties]) => {
    console.log("ready");
    await client.publishAsync(topic, payload, { qos: 1, properties: JSON.parse(properties) });
  },
  request: async (client, [topic, payload], all) => {
    const responseTopic = `answers/${randomUUID()}`;
    await client.subscribeAsync(responseTopic, { qos: 1 });
    console.log("ready");
    const properties = { responseTopic, correlationData: Buffer.from("7") };
    await client.publishAsync(topic, payload, { qos: 1, properties });
    await all(1);
  },
};

const options = {
  reconnectPeriod: 0,
  protocolVersion: version,
  ...(version === 3 ? { protocolId: "MQIsdp" } : {}),
  ...(clientId ? { clientId, clean: false } : {}),
  ...(clientId && version === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}),
  ...JSON.parse(MQTT_OPTIONS),
};

// A session's messages may come with the connection itself: they are listened for from the start.
const client = mqtt.connect(url, { ...options, manualConnect: true });
const early = [];
client.on("message", (...message) => early.push(message));
function all(count, answer) {
  client.removeAllListeners("message");
  const done = received(client, count, answer);
  for (const message of early) client.emit("message", ...message);
  return done;
}

try {
  await new Promise((resolve, reject) => {
    client.once("connect", resolve).once("error", reject).once("close", () => reject(new Error("closed")));
    client.connect();
  });
  client.removeAllListeners("close");
  try {
    await commands[command](client, args, all);
  } finally {
    await client.endAsync();
  }
} catch (error) {
  say({ error: error.code ?? error.message });
  process.exitCode = 1;
}
