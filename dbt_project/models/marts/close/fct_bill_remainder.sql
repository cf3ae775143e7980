with

remainder as (

    select * from {{ ref('int_bill_remainder__grouped') }}

),

final as (

    select
        billing_month,
        payer_account_id as bill_payer_account_id,
        usage_account_id as line_item_usage_account_id,
        category,
        line_type as line_item_line_item_type,
        sum(line_count)::bigint as line_count,
        {% for basis in bases() -%}
        sum({{ basis }}_usd)::decimal(38, 10) as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from remainder
    group by billing_month, payer_account_id, usage_account_id, category, line_type

)

select * from final
