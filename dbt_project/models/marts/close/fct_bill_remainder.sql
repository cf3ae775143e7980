with

remainder as (

    select * from {{ ref('int_bill_remainder__grouped') }}

),

{% set grain = [
    ('bill_payer_account_id', 'payer_account_id'),
    ('line_item_usage_account_id', 'usage_account_id'),
    ('category', 'category'),
    ('line_item_line_item_type', 'line_type'),
    ('usage_date', 'usage_date'),
    ('product_region_code', 'region_code'),
    ('line_item_product_code', 'product_code'),
    ('cluster_name', 'cluster_name'),
    ('namespace', 'namespace'),
    ('owner_hint', 'owner_hint'),
    ('line_item_resource_id', 'resource_id'),
    ('instance_type', 'instance_type'),
] -%}
final as (

    select
        billing_month,
        {% for name, fact in grain %}{{ fact }} as {{ name }},
        {% endfor -%}
        line_count::bigint as line_count,
        {% for basis in bases() -%}
        {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from remainder

)

select * from final
