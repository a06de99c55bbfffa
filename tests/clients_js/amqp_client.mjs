// What a Node application does with an AMQP broker, one command a run:
//
//   node amqp_client.mjs URL work QUEUE COUNT              COUNT jobs of a durable queue, one at a time, acknowledged
//   node amqp_client.mjs URL retry QUEUE COUNT             the same, but each is given back once
//   node amqp_client.mjs URL sub EXCHANGE PATTERN COUNT    COUNT messages through a queue of its own
//   node amqp_client.mjs URL reply QUEUE COUNT             answers each with "re: " and its payload
//   node amqp_client.mjs URL send QUEUE JSON PAYLOAD...    with confirms; JSON is options of amqplib
//   node amqp_client.mjs URL pub EXCHANGE KEY JSON PAYLOAD...
//   node amqp_client.mjs URL request QUEUE PAYLOAD         by direct reply-to
//   node amqp_client.mjs URL check QUEUE                   for a queue that may not be there
//
// Prints "ready" when connected and subscribed, then a line of JSON per message received. An error of the
// client is a line {"error": its code}; what comes back because no queue takes it is {"error": "returned"}.
import amqp from "amqplib";

const [url, command, ...args] = process.argv.slice(2);
const say = (line) => console.log(JSON.stringify(line));

function show({ content, fields, properties }) {
  const there = Object.entries(properties).filter(([, value]) => value !== undefined);
  say({
    exchange: fields.exchange,
    key: fields.routingKey,
    payload: content.toString("base64"),
    redelivered: fields.redelivered,
    properties: Object.fromEntries(there),
  });
}

// Resolves when so many messages were shown; `take` settles each and says whether it counts.
function received(channel, queue, count, take, options = {}, begin = () => {}) {
  return new Promise((resolve, reject) => {
    channel
      .consume(
        queue,
        (message) => {
          if (message === null) return reject(new Error("cancelled"));
          if (!take(message)) return;
          show(message);
          if (--count === 0) resolve();
        },
        options,
      )
      .then(() => {
        console.log("ready");
        begin();
      })
      .catch(reject);
  });
}

async function published(channel, exchange, key, options, payloads) {
  console.log("ready");
  channel.on("return", () => say({ error: "returned" }));
  for (const payload of payloads)
    channel.publish(exchange, key, Buffer.from(payload), { mandatory: true, ...JSON.parse(options) });
  await channel.waitForConfirms();
}

const commands = {
  work: async (channel, [queue, count]) => {
    await channel.assertQueue(queue);
    await channel.prefetch(1);
    await received(channel, queue, Number(count), (message) => {
      channel.ack(message);
      return true;
    });
  },
  retry: async (channel, [queue, count]) => {
    await channel.assertQueue(queue);
    await received(channel, queue, Number(count), (message) => {
      if (message.fields.redelivered) channel.ack(message);
      else channel.nack(message);
      return message.fields.redelivered;
    });
  },
  sub: async (channel, [exchange, pattern, count]) => {
    const { queue } = await channel.assertQueue("", { exclusive: true });
    await channel.bindQueue(queue, exchange, pattern);
    await received(channel, queue, Number(count), () => true, { noAck: true });
  },
  reply: async (channel, [queue, count]) => {
    await channel.assertQueue(queue);
    await received(channel, queue, Number(count), (message) => {
      const { replyTo, correlationId } = message.properties;
      channel.sendToQueue(replyTo, Buffer.from(`re: ${message.content}`), { correlationId });
      channel.ack(message);
      return true;
    });
    await channel.waitForConfirms();
  },
  send: async (channel, [queue, options, ...payloads]) => {
    await channel.assertQueue(queue);
    await published(channel, "", queue, options, payloads);
  },
  pub: async (channel, [exchange, key, options, ...payloads]) => {
    await published(channel, exchange, key, options, payloads);
  },
  request: async (channel, [queue, payload]) => {
    const replyTo = "amq.rabbitmq.reply-to";
    await received(channel, replyTo, 1, () => true, { noAck: true }, () =>
      channel.sendToQueue(queue, Buffer.from(payload), { replyTo, correlationId: "7" }),
    );
  },
  check: async (channel, [queue]) => {
    console.log("ready");
    await channel.checkQueue(queue);
  },
};

try {
  const connection = await amqp.connect(url);
  let cause; // what the server said; the calls that it interrupts say only that the channel is closed
  connection.on("error", (error) => (cause ??= error));
  try {
    const channel = await connection.createConfirmChannel();
    channel.on("error", (error) => (cause ??= error));
    await commands[command](channel, args);
    await channel.close();
  } catch (error) {
    throw cause ?? error;
  } finally {
    await connection.close();
  }
} catch (error) {
  say({ error: String(error.code ?? error.message) });
  process.exitCode = 1;
}
