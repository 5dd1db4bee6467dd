package peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.util.ByteArrayBuilder;
import java.io.IOException;
import java.io.UncheckedIOException;

/** The records of the job, parsed and written by Jackson's streaming interface: no tree, no reflection. */
final class Json {
    private static final JsonFactory FACTORY = new JsonFactory();

    private Json() {}

    /** What the job needs of a usage record; the rest is skipped. One object per processor, filled again and again. */
    static final class Call {
        String source, id, tenant, callee;
        long connectedMs;

        void read(byte[] record) {
            object(record, (field, parser) -> {
                switch (field) {
                    case "source" -> source = parser.nextTextValue();
                    case "id" -> id = parser.nextTextValue();
                    case "data" -> object(parser, this::data);
                    default -> skip(parser);
                }
            });
        }

        private void data(String field, JsonParser parser) throws IOException {
            switch (field) {
                case "tenant_id" -> tenant = parser.nextTextValue();
                case "callee" -> callee = parser.nextTextValue();
                case "connected_ms" -> connectedMs = parser.nextLongValue(-1);
                default -> skip(parser);
            }
        }
    }

    /** A payment that was made. */
    static final class Result {
        String rechargeId, tenant;
        long amountMicros;

        void read(byte[] record) {
            object(record, (field, parser) -> {
                if (field.equals("data")) object(parser, this::data);
                else skip(parser);
            });
        }

        private void data(String field, JsonParser parser) throws IOException {
            switch (field) {
                case "recharge_id" -> rechargeId = parser.nextTextValue();
                case "tenant_id" -> tenant = parser.nextTextValue();
                case "amount_micros" -> amountMicros = parser.nextLongValue(0);
                default -> skip(parser);
            }
        }
    }

    static byte[] entry(Call call, long costMicros, Account after) {
        return written(json -> {
            json.writeStringField("event_id", call.id);
            json.writeStringField("tenant_id", call.tenant);
            json.writeNumberField("amount_micros", -costMicros);
            json.writeNumberField("balance_micros", after.balanceMicros());
        });
    }

    static byte[] request(Call call, Account after) {
        return written(json -> {
            json.writeStringField("recharge_id", call.tenant + ":" + after.sequence());
            json.writeStringField("tenant_id", call.tenant);
            json.writeNumberField("amount_micros", Account.PAYMENT_MICROS);
            json.writeStringField("caused_by", call.id);
        });
    }

    private interface Fields {
        void take(String field, JsonParser parser) throws IOException;
    }

    private interface Content {
        void write(JsonGenerator json) throws IOException;
    }

    private static void object(byte[] record, Fields fields) {
        try (JsonParser parser = FACTORY.createParser(record)) {
            object(parser, fields);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void object(JsonParser parser, Fields fields) throws IOException {
        parser.nextToken();
        for (String field; (field = parser.nextFieldName()) != null; ) fields.take(field, parser);
    }

    private static void skip(JsonParser parser) throws IOException {
        parser.nextToken();
        parser.skipChildren();
    }

    private static byte[] written(Content content) {
        ByteArrayBuilder out = new ByteArrayBuilder(256);
        try (JsonGenerator json = FACTORY.createGenerator(out)) {
            json.writeStartObject();
            content.write(json);
            json.writeEndObject();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return out.toByteArray();
    }
}
