"""The socket `/realtime/v1/websocket`: channels with broadcast, presence and changes of rows."""
