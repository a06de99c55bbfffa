// What a Node application does with a NATS server, one command a run:
//
//   node nats_client.mjs URL sub SUBJECT COUNT            COUNT messages, then ends
//   node nats_client.mjs URL queue SUBJECT GROUP COUNT    the same as a member of a queue group
//   node nats_client.mjs URL reply SUBJECT COUNT          the same, and answers each with "re: " and its payload
//   node nats_client.mjs URL pub SUBJECT PAYLOAD...
//   node nats_client.mjs URL headers SUBJECT PAYLOAD NAME=VALUE...
//   node nats_client.mjs URL request SUBJECT PAYLOAD
//
// Prints "ready" when connected and subscribed, then a line of JSON per message received. An error of the
// client is a line {"error": its code}. NATS_USER, NATS_PASSWORD and NATS_TOKEN are its credentials.
import { connect, headers } from "nats";

const [url, command, subject, ...rest] = process.argv.slice(2);
const { NATS_USER: user, NATS_PASSWORD: pass, NATS_TOKEN: token } = process.env;
const say = (line) => console.log(JSON.stringify(line));

function show(message) {
  const fields = {};
  for (const [name, values] of message.headers ?? []) fields[name] = values;
  say({
    subject: message.subject,
    payload: Buffer.from(message.data).toString("base64"),
    headers: fields,
    reply: message.reply || null,
  });
}

async function receive(connection, count, { queue, answer } = {}) {
  const subscription = connection.subscribe(subject, { queue, max: Number(count) });
  await connection.flush();
  console.log("ready");
  for await (const message of subscription) {
    show(message);
    if (answer) message.respond(Buffer.concat([Buffer.from("re: "), message.data]));
  }
}

const commands = {
  sub: (connection, count) => receive(connection, count),
  queue: (connection, queue, count) => receive(connection, count, { queue }),
  reply: (connection, count) => receive(connection, count, { answer: true }),
  pub: (connection, ...payloads) => {
    console.log("ready");
    for (const payload of payloads) connection.publish(subject, payload);
  },
  headers: (connection, payload, ...pairs) => {
    console.log("ready");
    const fields = headers();
    for (const pair of pairs) fields.append(...pair.split(/=(.*)/s, 2));
    connection.publish(subject, payload, { headers: fields });
  },
  request: async (connection, payload) => {
    console.log("ready");
    show(await connection.request(subject, payload, { timeout: 5000 }));
  },
};

try {
  const connection = await connect({ servers: url, reconnect: false, user, pass, token });
  try {
    await commands[command](connection, ...rest);
    await connection.flush();
  } finally {
    await connection.close();
  }
} catch (error) {
  say({ error: error.code ?? error.message });
  process.exitCode = 1;
}
