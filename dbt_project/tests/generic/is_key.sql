{# Rows whose key stands more than once. A null is a value here: accounts and Regions may
   be unknown, and two rows of one unknown are still two. #}
{% test is_key(model, columns) %}
    select
        {{ columns | join(', ') }},
        count(*) as row_count
    from {{ model }}
    group by {{ columns | join(', ') }}
    having count(*) > 1
{% endtest %}
