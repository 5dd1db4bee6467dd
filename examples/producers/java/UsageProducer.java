// Emits one call leg: java -cp 'jars/*:.' UsageProducer BROKERS TENANT CALL_ID
//
// javac -cp 'jars/*' UsageProducer.java, with Java 17 or newer and
// org.apache.kafka:kafka-clients:4.1.1, com.fasterxml.jackson.core:jackson-databind:2.19.0.

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

public final class UsageProducer {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] arguments) throws Exception {
        String brokers = arguments[0], tenant = arguments[1], callId = arguments[2];
        Instant ended = Instant.now().truncatedTo(ChronoUnit.MILLIS);
        Instant answered = ended.minusMillis(219_000);

        ObjectNode event = JSON.createObjectNode()
            .put("specversion", "1.0")
            .put("id", callId + "/a") // made of the platform's own record id: a retry repeats id and source
            .put("source", "/telephony/sbc-eu-1")
            .put("type", "telephony.call.v1")
            .put("subject", tenant);
        event.putObject("data")
            .put("tenant_id", tenant)
            .put("call_id", callId)
            .put("leg_id", "a")
            .put("record_kind", "final")
            .put("call_type", "user_out")
            .put("caller", "+15555550100")
            .put("callee", "+442079460018")
            .put("number_type", "user")
            .put("answered_at", answered.toString())
            .put("ended_at", ended.toString())
            .put("connected_ms", 219_000)
            .put("user_id", "u-1")
            .put("user_country", "US")
            .put("credits_licensed", true);

        // The default partitioner is murmur2 of the key; an idempotent producer implies acks=all.
        Map<String, Object> settings = Map.of(
            ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, brokers,
            ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
            var record = new ProducerRecord<>("usage.call.v1", tenant, JSON.writeValueAsBytes(event));
            record.headers().add("content-type", "application/cloudevents+json".getBytes(StandardCharsets.US_ASCII));
            producer.send(record).get(); // throws when it is not stored: send the same event again
        }
    }
}
